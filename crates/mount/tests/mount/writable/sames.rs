//! What holds of every file system.

use forebay_mount::IoMode;

use super::{How, Overlaid, served};

/// New files are the kernel's to read and write, where it may.
mod handed_over {
    use super::*;
    use crate::shared::on;

    on! {
        Overlaid::empty(How::default());
        names::names_are_made_moved_and_taken_away,
        names::what_is_unlinked_lives_as_long_as_it_is_open,
        names::attributes_are_set,
        names::extended_attributes_are_kept,
        names::large_directories_are_told_whole_and_once,
        data::files_are_written_and_cut,
        data::room_is_taken_and_given_back,
        data::mappings_are_written_back,
        data::locks_stay_with_the_kernel,
        threads::eight_threads_get_what_they_wrote
    }
}

mod by_pages {
    use super::*;
    use crate::shared::on;

    on! {
        Overlaid::empty(served(IoMode::Pages));
        names::what_is_unlinked_lives_as_long_as_it_is_open,
        names::attributes_are_set,
        data::files_are_written_and_cut,
        data::room_is_taken_and_given_back,
        data::mappings_are_written_back,
        data::programs_with_pages_of_their_own_write_past_ours,
        threads::eight_threads_get_what_they_wrote
    }
}

mod direct {
    use super::*;
    use crate::shared::on;

    on! {
        Overlaid::empty(served(IoMode::Direct));
        data::files_are_written_and_cut,
        data::mappings_are_written_back,
        threads::eight_threads_get_what_they_wrote
    }
}

mod somebody_else {
    use super::*;
    use crate::shared::on;

    fn for_all() -> Option<Overlaid> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not run: only root can be somebody else");
            return None;
        }
        let mut how = How::default();
        how.mount.allow_other = true;
        Overlaid::empty(how)
    }

    on! {
        for_all();
        owners::what_somebody_creates_is_theirs,
        owners::modes_and_owners_are_heeded,
        owners::set_user_id_goes_with_a_write_of_somebody_else
    }
}
