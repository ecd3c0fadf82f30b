//! What the store in a file promises beside.

mod crash;
mod full_disk;
mod opening;
mod speed;

mod conformance {
    crate::suite::conformance!(async { Some(crate::rig::SqliteRig::new()) });
}
