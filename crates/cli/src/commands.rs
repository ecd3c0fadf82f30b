//! The commands, one file each.

mod below;
mod bench;
mod cache;
mod cat;
mod completions;
mod config;
mod demo;
mod doctor;
mod get;
pub(crate) mod log;
mod ls;
mod manifest;
mod mount;
mod put;
mod stat;
mod warm;

use crate::args::{BenchCommand, CacheCommand, Cli, Command, ConfigCommand};
use crate::env::Env;
use crate::exit::Result;
use crate::output::Output;
use crate::session::Session;
use crate::settings::{Settings, old_variable};
use crate::telemetry;

/// Says which variables of an earlier tool are set, and what to set now: by the process that somebody started, not by
/// those that it starts.
fn say_old_variables(command: &Command, env: &Env) {
    let is_started_by_us = match command {
        Command::Mount(args) => args.detached,
        Command::Bench(command) => matches!(
            command,
            BenchCommand::Worker
                | BenchCommand::Serve
                | BenchCommand::Memory
                | BenchCommand::Mirror
                | BenchCommand::Torrents
        ),
        _ => false,
    };
    if env.old.is_empty() || is_started_by_us {
        return;
    }
    let now: Vec<String> = env.old.iter().map(|name| old_variable(name)).collect();
    tracing::warn!("variables of an earlier tool are set: {}", now.join("; "));
}

/// Carries out what was typed.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let env = Env::read();
    telemetry::init_logging(cli.global.verbose, cli.global.quiet, env.log.as_deref());
    let output = Output {
        json: cli.global.json,
        quiet: cli.global.quiet,
    };
    say_old_variables(&cli.command, &env);
    // Those that need no settings come first: they must work with a broken settings file.
    match &cli.command {
        Command::Completions(args) => return completions::print(args, output),
        Command::Man(args) => return completions::man(args),
        _ => {}
    }
    let settings = Settings::load(&env, &cli.global)?;
    let session = Session::new(settings, output, cli.global.config.clone());
    match cli.command {
        Command::Demo(args) => demo::run(&session, &args),
        Command::Ls(args) => ls::run(&session, &args),
        Command::Cat(args) => cat::run(&session, &args),
        Command::Get(args) => get::run(&session, &args),
        Command::Put(args) => put::run(&session, &args),
        Command::Stat(args) => stat::run(&session, &args),
        Command::Warm(args) => warm::run(&session, &args),
        Command::Mount(args) => mount::mount(&session, &env, &args),
        Command::Unmount(args) => mount::unmount(&args),
        Command::Commit(args) => mount::commit(&session, &env, &args),
        Command::Cache(CacheCommand::Stats) => cache::stats(&session),
        Command::Cache(CacheCommand::Clear) => cache::clear(&session),
        Command::Cache(CacheCommand::Verify) => cache::verify(&session),
        Command::Log(command) => log::run(&session, &command),
        Command::Manifest(command) => manifest::run(&session, &command),
        Command::Bench(BenchCommand::Read(args)) => bench::read(&session, &args),
        Command::Bench(BenchCommand::Direct(args)) => bench::direct(&session, &args),
        Command::Bench(BenchCommand::Mount(args)) => bench::mount(&session, &args),
        Command::Bench(BenchCommand::Log(args)) => bench::log(&session, &args),
        Command::Bench(BenchCommand::Write(args)) => bench::write(&session, &args),
        Command::Bench(BenchCommand::Memory) => bench::memory(),
        Command::Bench(BenchCommand::Mirror) => bench::mirror(),
        Command::Bench(BenchCommand::Torrents) => bench::torrents(),
        Command::Bench(BenchCommand::Worker) => bench::worker(&session),
        Command::Bench(BenchCommand::Serve) => bench::serve(),
        Command::Doctor => doctor::run(&session, &env),
        Command::Config(ConfigCommand::Show) => config::show(&session),
        Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}
