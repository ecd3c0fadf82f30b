//! `completions` and `man`: what packagers install beside the program.

use clap_complete::Shell;
use serde::Serialize;

use crate::args::{self, CompletionsArgs, ManArgs};
use crate::exit::{CliError, Result};
use crate::output::Output;

#[derive(Serialize)]
struct Answer<'a> {
    shell: &'a str,
    script: &'a str,
}

/// Prints the script that completes our commands in a shell.
pub(crate) fn print(args: &CompletionsArgs, output: Output) -> Result<()> {
    let script = script(args.shell);
    let shell = args.shell.to_string();
    output.answer(
        &Answer {
            shell: &shell,
            script: &script,
        },
        || script.trim_end().to_owned(),
    )
}

fn script(shell: Shell) -> String {
    // Into memory first: the generator panics where it cannot write, and a closed pipe is no reason to.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "forebay", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes `forebay.1` and one page per command.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    let failed = |error| CliError::local(&args.dir, "write the manual pages into", &error);
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(args::command(), &args.dir).map_err(failed)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            assert!(
                script.contains("forebay") && script.contains("no-clobber"),
                "{shell}"
            );
        }
    }
}
