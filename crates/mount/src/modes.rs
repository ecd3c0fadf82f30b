//! Permission bits that a file may not keep when somebody changes it who has no say in them.

/// Set-user-id, and set-group-id, which means that only where the group may run the file.
const SET_UID: u32 = 0o4000;
pub(crate) const SET_GID: u32 = 0o2000;
const GROUP_RUNS: u32 = 0o0010;

/// All that is not the kind.
pub(crate) const PERMISSIONS: u32 = 0o7777;

/// The permissions of a file without such bits, if it has any.
pub(crate) fn without_privileges(mode: u32) -> Option<u32> {
    let mode = mode & PERMISSIONS;
    let taken = if mode & GROUP_RUNS == 0 {
        SET_UID
    } else {
        SET_UID | SET_GID
    };
    (mode & taken != 0).then_some(mode & !taken)
}

/// Whether a file has such bits.
pub(crate) fn has_privileges(mode: u32) -> bool {
    without_privileges(mode).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_go_and_locks_stay() {
        for (mode, left) in [
            (0o104_755, Some(0o755)),
            (0o106_755, Some(0o755)),
            (0o102_755, Some(0o755)),
            // Set-group-id where the group may not run it is not a privilege.
            (0o102_745, None),
            (0o106_745, Some(0o2745)),
            (0o101_777, None),
            (0o100_644, None),
        ] {
            assert_eq!(without_privileges(mode), left, "{mode:o}");
            assert_eq!(has_privileges(mode), left.is_some());
        }
    }
}
