//! The conformance suite: each function is one promise, and runs against each store.

pub(crate) mod deleting;
pub(crate) mod groups;
pub(crate) mod leases;
pub(crate) mod reading;
pub(crate) mod restoring;
pub(crate) mod topics;
pub(crate) mod writing;

/// Makes one test of each promise, against the stores that `$rig` makes; a rig that cannot be made skips it.
macro_rules! conformance {
    ($rig:expr) => {
        $crate::suite::conformance!(@each $rig;
            topics { topics_are_made_found_and_listed, hostile_topics_are_refused, a_wide_topic_is_quick_to_ask }
            reading {
                segments_are_found_by_offset, segments_are_found_by_time, segments_of_many_partitions_come_at_once,
                what_is_not_there_has_its_error
            }
            writing {
                a_commit_is_all_or_nothing, a_commit_can_be_said_again, impossible_commits_are_refused,
                uploads_that_died_stay_dead, commits_are_in_order, wide_commits_and_racing_writers,
                changes_are_told, given_up_calls_are_done_or_not
            }
            leases {
                leases_fence, leases_are_all_or_nothing, leases_expire_and_are_renewed, a_wish_is_told_to_the_holder,
                released_is_clean
            }
            deleting {
                the_log_start_moves_forward, compaction_takes_places, compaction_of_what_moved_fails,
                dead_objects_wait_for_their_time, timestamps_survive_what_was_dropped
            }
            groups { groups_commit_and_are_listed, impossible_groups_are_refused }
            restoring { a_store_is_restored, a_restore_is_checked, a_restore_replaces }
        );
    };
    (@each $rig:expr; $($module:ident { $($name:ident),* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(rig) = $rig.await else { return };
                forebay_testkit::within(async {
                    $crate::suite::$module::$name(&rig).await;
                    $crate::rig::check(&rig).await;
                })
                .await;
            }
        )*)*
    };
}
pub(crate) use conformance;
