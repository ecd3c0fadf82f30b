mod builder;
mod damage;
mod lies;
mod rig;
mod round_trip;
mod tails;
