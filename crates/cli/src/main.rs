//! `forebay`: the command line.
//!
//! What was typed ([`args`]) and what the settings file and the environment say ([`settings`], [`env`]) become a
//! [`session::Session`]: opener, range engine, cache, output. A command of `commands/` does its work with it, reading through
//! its [`door::Door`], and its result becomes an exit code ([`exit`]). Data and answers go to standard output, everything else to standard error.

mod args;
mod aws_profile;
mod commands;
mod door;
mod env;
mod exit;
mod output;
mod parallel;
mod progress;
mod scratch;
mod session;
mod settings;
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_memory();
    let args = match args::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// Keeps freed memory for the next chunk instead of handing it back to the kernel.
///
/// Chunks that wait for their turn are 64-128 KiB each, at the size from which glibc maps memory afresh and
/// trims the heap; every reuse then is a page fault and a page cleared, 22 % of the CPU time of an ordered read
/// (docs/benchmarks.md, memory of ordered reads). The engine's budget bounds what is kept.
fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const KEEP: i32 = 1 << 30;
        // SAFETY: mallopt sets two numbers of the allocator; no other thread runs yet.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP);
            libc::mallopt(libc::M_MMAP_THRESHOLD, KEEP);
        }
    }
}
