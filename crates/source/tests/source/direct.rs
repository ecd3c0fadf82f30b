//! Files past the page cache, with the real kernel.

mod confined;
mod conformance;
mod differences;
mod mounted;
mod reads;
mod refused;
mod world;
mod writes;
