//! One agent process: exactly the environment it should have, a group of its own away from any terminal, pipes on all
//! three streams.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessSession};
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::lines::{LINE_CAP, Lines};
use crate::domain::{Failure, FailureReason};

/// What to start.
#[derive(Debug)]
pub(super) struct Launch {
    /// The executable.
    pub(super) executable: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// All of its environment.
    pub(super) environment: BTreeMap<String, String>,
    /// Where it works.
    pub(super) directory: PathBuf,
}

/// A started process. Dropping it kills the process itself; what it started is the sweep's.
#[derive(Debug)]
pub(super) struct Process {
    /// Its number, for as long as it was not waited for.
    pub(super) pid: i32,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Lines<ChildStdout>,
    pub(super) stderr: Lines<ChildStderr>,
    child: Box<dyn ChildWrapper>,
}

/// Whether this server belongs to a terminal. Then an agent gets a session of its own, so that it can neither read what is
/// typed there nor write to it. Without one a group of its own does the same for less: a session needs a copy of this
/// process's memory map before the start, which takes longer than the start itself.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Starts it, as the leader of a process group.
pub(super) fn start(launch: &Launch) -> Result<Process, Failure> {
    let terminal = has_terminal();
    let mut command = CommandWrap::with_new(&launch.executable, |command| {
        command.args(&launch.arguments).env_clear().envs(&launch.environment).current_dir(&launch.directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !terminal {
            command.process_group(0);
        }
    });
    if terminal {
        command.wrap(ProcessSession);
    }
    let started = command.wrap(KillOnDrop).spawn();
    let mut child = started.map_err(|error| failure(&error, &launch.executable, &launch.directory))?.into_inner();
    let broken = || Failure::new(FailureReason::Internal, "the agent was started without its pipes");
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(broken)?;
    let stdin = child.stdin().take();
    let stdout = child.stdout().take().ok_or_else(broken)?;
    let stderr = child.stderr().take().ok_or_else(broken)?;
    Ok(Process { pid, stdin, stdout: Lines::new(stdout, LINE_CAP), stderr: Lines::new(stderr, LINE_CAP), child })
}

impl Process {
    /// Takes both outputs and the handle that waits apart, so that all can be awaited at once.
    pub(super) fn parts(&mut self) -> (&mut Lines<ChildStdout>, &mut Lines<ChildStderr>, &mut Box<dyn ChildWrapper>) {
        (&mut self.stdout, &mut self.stderr, &mut self.child)
    }

    /// Waits for its end.
    #[cfg(test)]
    pub(super) async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }
}

/// Writes the prompt and closes. An agent that does not read it to the end is no error of the writing: it will say why.
pub(super) async fn give(mut stdin: ChildStdin, prompt: &str) {
    if stdin.write_all(prompt.as_bytes()).await.is_ok() {
        let _ = stdin.shutdown().await;
    }
}

/// Why a start failed, in words for whoever can change it.
fn failure(error: &io::Error, executable: &Path, directory: &Path) -> Failure {
    use FailureReason as Reason;
    let name = executable.display();
    if !directory.is_dir() {
        return Failure::new(Reason::WorkspaceFailed, format!("the working directory `{}` is not there", directory.display()));
    }
    match error.kind() {
        io::ErrorKind::NotFound if executable.exists() => {
            Failure::new(Reason::AgentMissing, format!("the interpreter that `{name}` names is not there"))
        }
        io::ErrorKind::NotFound => Failure::new(Reason::AgentMissing, format!("`{name}` is not there")),
        io::ErrorKind::PermissionDenied => {
            Failure::new(Reason::AgentMissing, format!("`{name}` may not be executed, or `{}` not be entered", directory.display()))
        }
        io::ErrorKind::ArgumentListTooLong => {
            Failure::new(Reason::AgentStartFailed, format!("the arguments and environment of `{name}` are larger than the system takes"))
        }
        _ => Failure::new(Reason::AgentStartFailed, format!("`{name}` did not start: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Launch {
        Launch {
            executable: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: BTreeMap::from([("ONLY".to_owned(), "this".to_owned())]),
            directory: "/".into(),
        }
    }

    #[tokio::test]
    async fn the_environment_is_exact_the_group_its_own_and_no_terminal_in_reach() {
        let mut process = start(&shell(
            "tr '\\0' '\\n' < /proc/self/environ; echo; (: </dev/tty) 2>&- && echo tty; ps -o pgid= -p $$; echo $$; cat; exit 7",
        ))
        .expect("started");
        let stdin = process.stdin.take().expect("piped");
        give(stdin, "the prompt").await;
        let mut lines = Vec::new();
        while let Some(line) = process.stdout.next().await.expect("read") {
            lines.push(String::from_utf8(line.bytes).expect("text").trim().to_owned());
        }
        assert_eq!(lines.iter().filter(|line| line.contains('=')).collect::<Vec<_>>(), ["ONLY=this"], "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("the prompt"));
        assert!(!lines.contains(&"tty".to_owned()), "{lines:?}");
        assert_eq!(lines[lines.len() - 3], process.pid.to_string());
        assert_eq!(lines[lines.len() - 2], process.pid.to_string());
        assert_eq!(process.wait().await.expect("waited").code(), Some(7));
    }

    #[tokio::test]
    async fn an_agent_that_does_not_read_its_prompt_hurts_nobody() {
        let mut process = start(&shell("exec <&-; echo done")).expect("started");
        let stdin = process.stdin.take().expect("piped");
        give(stdin, &"x".repeat(1 << 20)).await;
        assert!(process.wait().await.expect("waited").success());
    }

    #[tokio::test]
    async fn a_start_that_fails_says_what_is_not_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let broken = directory.path().join("broken");
        std::fs::write(&broken, "#!/no/such/interpreter\n").expect("written");
        std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("made executable");
        let fails = |executable: &Path, directory: &Path| {
            let launch = Launch { executable: executable.to_owned(), directory: directory.to_owned(), ..shell("") };
            start(&launch).expect_err("must fail")
        };
        let missing = fails(Path::new("/no/such/agent"), directory.path());
        assert_eq!((missing.reason, missing.message.as_str()), (FailureReason::AgentMissing, "`/no/such/agent` is not there"));
        assert!(fails(&broken, directory.path()).message.contains("interpreter"));
        assert_eq!(fails(Path::new("/bin/sh"), Path::new("/no/such/directory")).reason, FailureReason::WorkspaceFailed);
        let long = Launch { arguments: vec!["x".repeat(1 << 20)], ..shell("") };
        assert!(start(&long).expect_err("too long").message.contains("larger than the system takes"));
    }
}
