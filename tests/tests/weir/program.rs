//! The program under test: where it is, and one run of it from start to end.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The weir program: `WEIR`, else the one of the profile that this test was built with.
pub(crate) fn weir() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("WEIR") {
        return Ok(PathBuf::from(given));
    }
    Ok(profile_folder()?.join(format!("weir{}", std::env::consts::EXE_SUFFIX)))
}

/// `target/release` of `target/release/deps/weir-0123456789abcdef`.
fn profile_folder() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    exe.ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .with_context(|| format!("'{}' lies in no target folder", exe.display()))
}

/// Builds the program with the cargo that runs this test, so that what is tested is what stands in the tree.
pub(crate) fn build() -> Result<()> {
    if std::env::var_os("WEIR").is_none()
        && let Some(cargo) = std::env::var_os("CARGO")
    {
        let profile = profile_folder()?;
        let release = profile.file_name().is_some_and(|n| n == "release");
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--workspace", "--bins", "--tests"]).args(release.then_some("--release"));
        command.arg("--target-dir").arg(profile.parent().unwrap_or(Path::new("target"))).current_dir(workspace());
        ensure!(command.status().context("cannot run cargo")?.success(), "the program does not build");
    }
    let weir = weir()?;
    ensure!(weir.is_file(), "there is no program '{}': build it with `cargo build --release`", weir.display());
    Ok(())
}

/// A command line of weir, and what it runs with.
pub(crate) struct Run {
    command: Command,
    limit: Duration,
}

/// How a run ended.
pub(crate) struct Finished {
    /// The exit status; `None` when a signal ended it.
    pub(crate) status: Option<i32>,
    /// All of its standard output.
    pub(crate) stdout: String,
    /// All of its standard error.
    pub(crate) stderr: String,
}

impl Run {
    /// `weir ARGS`.
    pub(crate) fn new<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Result<Run> {
        let mut command = Command::new(weir()?);
        command.args(args).stdin(Stdio::null());
        Ok(Run { command, limit: Duration::from_secs(120) })
    }

    /// `weir ARGS` on a wide terminal of its own, by `script`; what it prints all goes to standard output.
    pub(crate) fn on_terminal(args: &[&str]) -> Result<Run> {
        let mut line = vec![weir()?.display().to_string()];
        line.extend(args.iter().map(|&a| a.to_owned()));
        let mut command = Command::new("script");
        let line = format!("stty rows 24 cols 400; exec {}", line.join(" "));
        command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped());
        Ok(Run { command, limit: Duration::from_secs(120) })
    }

    /// More arguments.
    pub(crate) fn args<A: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Run {
        self.command.args(args);
        self
    }

    /// The folder it runs in.
    pub(crate) fn folder(mut self, folder: &Path) -> Run {
        self.command.current_dir(folder);
        self
    }

    /// It fails when it takes longer (120 s unless told).
    pub(crate) fn limit(mut self, limit: Duration) -> Run {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    pub(crate) fn finish(self) -> Result<Finished> {
        self.start()?.finish()
    }

    /// Runs it to its end; anything but status 0 is an error that holds what it said.
    pub(crate) fn succeed(self) -> Result<Finished> {
        let shown = format!("{:?}", self.command);
        let finished = self.finish()?;
        ensure!(finished.status == Some(0), "{shown}\nended with {:?}\n{}", finished.status, finished.stderr);
        Ok(finished)
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Result<Running> {
        let output = tempfile::tempdir()?;
        let stdout = output.path().join("stdout");
        let stderr = output.path().join("stderr");
        self.command.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let child = self.command.spawn().with_context(|| format!("cannot run {:?}", self.command))?;
        Ok(Running { child, limit: self.limit, output })
    }
}

/// A run that goes on. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    limit: Duration,
    output: tempfile::TempDir,
}

impl Running {
    /// What it has printed on standard output so far.
    pub(crate) fn stdout(&self) -> String {
        read_lossy(&self.output.path().join("stdout"))
    }

    /// What it has printed on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        read_lossy(&self.output.path().join("stderr"))
    }

    /// Types on its terminal.
    pub(crate) fn type_in(&mut self, keys: &[u8]) -> Result<()> {
        self.child.stdin.as_mut().context("it has no terminal")?.write_all(keys)?;
        Ok(())
    }

    /// Sends a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status()?;
        ensure!(status.success(), "cannot send {name} to process {}", self.child.id());
        Ok(())
    }

    /// Its exit status when it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Result<Finished> {
        let deadline = Instant::now() + self.limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Finished { status: status.code(), stdout: self.stdout(), stderr: self.stderr() });
            }
            if Instant::now() > deadline {
                bail!("still runs after {:?}\nstdout: {}\nstderr: {}", self.limit, self.stdout(), self.stderr());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Finished {
    /// The last line of standard output, which `replay` writes as one JSON object.
    pub(crate) fn summary(&self) -> Result<serde_json::Value> {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("the last line printed is no JSON object: '{line}'"))
    }
}

fn read_lossy(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Waits until `condition` gives a value; its last complaint is the error after `limit`.
pub(crate) fn wait_for<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("{what}: not within {limit:?}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
