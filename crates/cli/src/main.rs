//! `forebay`: the command line.
//!
//! What was typed ([`args`]) and what the settings file and the environment say ([`settings`], [`env`]) become a
//! [`session::Session`]: opener, range engine, output. A command of `commands/` does its work with it, and its
//! result becomes an exit code ([`exit`]). Data and answers go to standard output, everything else to standard error.

mod args;
mod commands;
mod env;
mod exit;
mod output;
mod progress;
mod session;
mod settings;
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
