//! The example programs, as processes that end with the test.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// The echo servers.
#[cfg(feature = "futures-io")]
pub(crate) const SERVERS: [&str; 3] = ["echo_server", "echo_server_blocking", "echo_server_smol"];
#[cfg(not(feature = "futures-io"))]
pub(crate) const SERVERS: [&str; 2] = ["echo_server", "echo_server_blocking"];

/// Where the example of that name is.
pub(crate) fn program(name: &str) -> PathBuf {
    let mut path = env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", name]);
    path.set_extension(env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "{name} is not built: run `cargo test` whole, or `cargo build --examples`"
    );
    path
}

/// A process that is ended when this is dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
    /// Ends it when the test process is gone, even if that was killed: then its input ends.
    guard: Option<Child>,
}

impl Program {
    pub(crate) fn new(child: Child) -> Self {
        let guard = cfg!(unix).then(|| {
            let mut command = Command::new("sh");
            command.args(["-c", "read -r _; kill -9 \"$0\""]).arg(child.id().to_string());
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        });
        Self { child, guard }
    }

    /// The guard goes first: it must not end whoever gets the number of the process next.
    pub(crate) fn end(&mut self) {
        for child in self.guard.iter_mut().chain([&mut self.child]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// The URL in the first line that a server prints.
pub(crate) fn listens_on(stdout: impl Read) -> String {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    line.trim().strip_prefix("listening on ").expect("the first line says where").to_string()
}
