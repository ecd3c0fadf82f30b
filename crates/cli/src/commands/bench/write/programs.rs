//! Programs as they are, and what they work on: always the same.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use forebay_manifest::{Content, FileEntry, FileKind, Hash, ManifestBuilder, ManifestPath};
use forebay_types::ErrorKind;

use super::super::program::lost;
use crate::exit::{CliError, Result};

/// Bytes of a file of the repository, and files of one of its directories.
const FILE: usize = 2_000;
const FILES: usize = 100;

/// Modules of the program that is built, and functions of each.
const MODULES: usize = 20;
const FUNCTIONS: usize = 20;

/// `git` in a directory, with nothing that the user has set.
fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE");
    git
}

/// Makes a repository of so many files, in one pack.
pub(super) fn make_repository(dir: &Path, files: usize) -> Result<()> {
    succeed(git(dir).args(["init", "-q", "--bare"]), "git init")?;
    succeed(
        git(dir).args(["symbolic-ref", "HEAD", "refs/heads/main"]),
        "git symbolic-ref",
    )?;
    let failed = |e: std::io::Error| lost("git fast-import", &e);
    let mut import = git(dir);
    let mut import = import
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = import.stdin.take() {
        stdin.write_all(history(files).as_bytes()).map_err(failed)?;
    }
    let status = import.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(lost("git fast-import", &status))
}

/// One commit, as `git fast-import` reads it.
fn history(files: usize) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    let mut text = "commit refs/heads/main\ncommitter a <a@b> 1700000000 +0000\ndata 3\nall\n".to_owned();
    for file in 0..files {
        let mut content = String::with_capacity(FILE);
        while content.len() < FILE {
            let _ = writeln!(content, "{:032x}", random.u128(..));
        }
        content.truncate(FILE);
        let (dir, len) = (file / FILES, content.len());
        let _ = write!(text, "M 644 inline d{dir:03}/f{file:05}\ndata {len}\n{content}\n");
    }
    text
}

/// `git clone` of a repository, as a directory that is not there yet.
pub(super) fn clone(repository: &Path, to: &Path) -> Command {
    let mut git = git(repository);
    git.args(["clone", "-q", "--no-hardlinks"])
        .arg(repository)
        .arg(to);
    git
}

/// Writes a program without dependencies into a directory that is not there yet.
pub(super) fn write_crate(dir: &Path) -> Result<()> {
    let source = dir.join("src");
    std::fs::create_dir_all(&source).map_err(|e| CliError::local(&source, "make", &e))?;
    let write = |path: std::path::PathBuf, text: String| {
        std::fs::write(&path, text).map_err(|e| CliError::local(&path, "write", &e))
    };
    let package = "[package]\nname = \"many\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n";
    write(dir.join("Cargo.toml"), package.to_owned())?;
    let mut main = String::new();
    let mut calls = String::new();
    for module in 0..MODULES {
        let _ = writeln!(main, "mod m{module};");
        let mut text = String::new();
        for function in 0..FUNCTIONS {
            let _ = writeln!(
                text,
                "pub fn f{function}(text: &str) -> String {{\n    let words: Vec<String> = text.split(' ').map(|word| format!(\"{{word}}-{function}\")).collect();\n    words.join(\" \")\n}}"
            );
            let _ = writeln!(calls, "    let text = m{module}::f{function}(&text);");
        }
        write(source.join(format!("m{module}.rs")), text)?;
    }
    let _ = write!(
        main,
        "\nfn main() {{\n    let text = String::from(\"a b c\");\n{calls}    println!(\"{{}}\", text.len());\n}}\n"
    );
    write(source.join("main.rs"), main)
}

/// `cargo build` in a directory, which takes all that comes of it.
pub(super) fn build(dir: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "-q", "--offline"]).current_dir(dir);
    for set in [
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
    ] {
        cargo.env_remove(set);
    }
    cargo
}

/// A manifest of so many files, all of the same size, of which no content is anywhere.
pub(super) fn manifest(files: usize) -> Result<Vec<u8>> {
    let failed = |e| CliError::new(ErrorKind::Internal, format!("the manifest of a bench: {e}"));
    let mut builder = ManifestBuilder::v2023();
    for file in 0..files {
        let path = path(file);
        let file = FileEntry {
            path: ManifestPath::new(path.as_bytes()),
            kind: FileKind::Regular {
                size: 1 << 20,
                mtime: 1_700_000_000_000_000,
                runnable: false,
                content: Content::Hash(Hash::from_u128(file as u128 + 1)),
            },
        };
        builder.file(&file).map_err(failed)?;
    }
    Ok(builder.finish().map_err(failed)?.encode())
}

/// Where a file of that manifest is.
pub(super) fn path(file: usize) -> String {
    format!("show/shot{:04}/render/frame.{file:07}.exr", file / FILES)
}

fn succeed(command: &mut Command, what: &str) -> Result<()> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(lost(what, &status)),
        Err(error) => Err(lost(what, &error)),
    }
}
