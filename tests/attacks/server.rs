//! An echo server as a process: started on a free port, measured, and always ended.

use crate::{
    common::split,
    support::{REQUEST, read_all, read_head},
};
use core::time::Duration;
use fullduplex::{CloseCode, Config, Message, Role, blocking};
use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc},
    thread,
};

/// All of them.
#[cfg(feature = "futures-io")]
pub(crate) const SERVERS: [&str; 3] = ["echo_server", "echo_server_blocking", "echo_server_smol"];
#[cfg(not(feature = "futures-io"))]
pub(crate) const SERVERS: [&str; 2] = ["echo_server", "echo_server_blocking"];

/// Whether memory, processor time and descriptors of a process can be read here. Elsewhere they
/// count as nothing, which is said.
pub(crate) const MEASURED: bool = cfg!(target_os = "linux");

/// How long a client waits for a server before the test has failed: a bound for what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What ends all servers, and then the test process, if a test does not end.
const HANGS: Duration = Duration::from_secs(180);

/// Every server that was started: a test process that is aborted drops nothing.
static STARTED: Mutex<Vec<Weak<Mutex<Process>>>> = Mutex::new(Vec::new());

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    process: Arc<Mutex<Process>>,
    /// The first panic that it complained of.
    panic: Arc<Mutex<Option<String>>>,
    /// What it takes when it has served one client; the descriptors are those before that.
    pub(crate) at_rest: Usage,
}

/// What a process takes, or has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory, in bytes.
    pub(crate) memory: usize,
    /// The most that this ever was.
    pub(crate) peak: usize,
    /// Processor time.
    pub(crate) cpu: Duration,
    /// Open descriptors.
    pub(crate) descriptors: usize,
}

struct Process {
    server: Child,
    /// Ends the server when this process is gone, even if it was killed: then its input ends.
    guard: Option<Child>,
}

impl Process {
    fn new(server: Child) -> Self {
        let guard = cfg!(unix).then(|| {
            let mut command = Command::new("sh");
            command.args(["-c", "read -r _; kill -9 \"$0\""]).arg(server.id().to_string());
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        });
        Self { server, guard }
    }

    /// The guard goes first: it must not end whoever gets the number of the server next.
    fn end(&mut self) {
        for child in self.guard.iter_mut().chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs `test` on each of the servers, started with `arguments`, one after the other, under a
/// watchdog. In the end they have to be alive, without a panic, and serve a good client.
#[track_caller]
pub(crate) fn on_each(arguments: &[&str], mut test: impl FnMut(&Server)) {
    let _watchdog = watchdog();
    for name in SERVERS {
        let server = Server::start(name, arguments);
        test(&server);
        server.is_well();
    }
}

/// As [`on_each`], on all of them at once.
#[track_caller]
pub(crate) fn on_all(arguments: &[&str], test: impl Fn(&Server) + Sync) {
    let _watchdog = watchdog();
    thread::scope(|scope| {
        for name in SERVERS {
            let test = &test;
            scope.spawn(move || {
                let server = Server::start(name, arguments);
                test(&server);
                server.is_well();
            });
        }
    });
}

/// Ends everything if this is not dropped in time.
#[must_use]
pub(crate) fn watchdog() -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel();
    let test = thread::current().name().unwrap_or("a test").to_string();
    if !MEASURED {
        aloud(&format!("{test}: no /proc here, so no bound of memory or time is looked at"));
    }
    thread::spawn(move || {
        if receiver.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout) {
            aloud(&format!("{test} hangs"));
            let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
            for process in started.iter().filter_map(Weak::upgrade) {
                process.lock().unwrap_or_else(PoisonError::into_inner).end();
            }
            std::process::abort();
        }
    });
    sender
}

/// Says something that is shown even if the test passes.
pub(crate) fn aloud(what: &str) {
    let _ = writeln!(io::stderr(), "attacks: {what}");
}

/// Held by a test that opens many sockets: one at a time.
static CROWD: Mutex<()> = Mutex::new(());

/// How many sockets an attack that wants `wanted` of them may open here while it holds on to what
/// comes with the number. It says so if they are fewer: the test and each server may have as many
/// descriptors as the soft limit says.
pub(crate) fn sockets(wanted: usize) -> (usize, MutexGuard<'static, ()>) {
    let crowd = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)).and_then(|n| n.parse().ok());
    let possible = soft.unwrap_or(1_024_usize).saturating_sub(512).min(wanted);
    if possible < wanted {
        aloud(&format!("{possible} sockets, not {wanted}: no more descriptors (`ulimit -n`)"));
    }
    (possible, crowd)
}

impl Server {
    /// A server that has served one client.
    pub(crate) fn start(name: &'static str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.args(["--addr", "127.0.0.1:0"]).args(arguments);
        // What threads have freed, glibc keeps, in up to 8 arenas for each core, and only for others
        // of the same arena. With one arena, what is measured is what the server holds.
        command.env("MALLOC_ARENA_MAX", "1");
        Self::run(name, command)
    }

    /// As [`start`](Self::start), with so many descriptors and no more.
    #[cfg(unix)]
    pub(crate) fn with_descriptors(name: &'static str, most: usize) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {most} && exec \"$0\" --addr 127.0.0.1:0");
        command.args(["-c", &script]).arg(program(name));
        Self::run(name, command)
    }

    fn run(name: &'static str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let process = Arc::new(Mutex::new(Process::new(child)));
        STARTED.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&process));
        let panic = Arc::new(Mutex::new(None));
        let first_panic = panic.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                if line.contains("panicked") {
                    first_panic.lock().unwrap().get_or_insert(line.into_owned());
                }
            }
        });
        let mut server = Self {
            name,
            address: ([127, 0, 0, 1], 0).into(),
            process,
            panic,
            at_rest: Usage::default(),
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ws://").expect("where it listens");
        server.address = address.parse().unwrap();
        let descriptors = server.usage().descriptors;
        server.serves();
        server.at_rest = Usage { descriptors, ..server.usage() };
        server
    }

    /// A TCP connection that writes at once.
    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// An open WebSocket connection, without extensions.
    pub(crate) fn open(&self) -> TcpStream {
        self.open_with(REQUEST)
    }

    /// The same with this request, which has to be granted.
    pub(crate) fn open_with(&self, request: &str) -> TcpStream {
        let mut stream = self.tcp();
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&stream);
        assert!(head.starts_with("HTTP/1.1 101 "), "{}: {head}", self.name);
        stream
    }

    /// A good client is served: an echo and a clean close.
    #[track_caller]
    pub(crate) fn serves(&self) {
        let config = Config::default().handshake_timeout(PATIENCE);
        #[cfg(feature = "deflate")]
        let config = config.deflate(fullduplex::deflate::Deflate::default());
        let mut ws = blocking::connect_with(format!("ws://{}/", self.address), config).unwrap();
        let text = "good ".repeat(30);
        ws.send(text.as_str()).unwrap();
        assert_eq!(ws.recv().unwrap(), Some(Message::from(text)), "{}", self.name);
        ws.close(CloseCode::NORMAL).unwrap();
        assert!(ws.closed().unwrap().is_clean());
    }

    /// It is the process that was started, no task or thread of it has panicked, and it serves.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        self.serves();
        let status = self.process.lock().unwrap().server.try_wait().unwrap();
        assert_eq!(status, None, "{} has ended", self.name);
        assert_eq!(*self.panic.lock().unwrap(), None, "{}", self.name);
    }

    /// Waits until it has at most `most` descriptors more than at rest: what was given up is
    /// noticed while it serves others.
    #[track_caller]
    pub(crate) fn lets_go(&self, most: usize) {
        if !MEASURED {
            return;
        }
        for _ in 0..2_000 {
            if self.usage().descriptors <= self.at_rest.descriptors + most {
                return;
            }
            self.serves();
        }
        panic!("{} keeps connections: {:?}", self.name, self.usage());
    }

    pub(crate) fn usage(&self) -> Usage {
        if !MEASURED {
            return Usage::default();
        }
        let process = format!("/proc/{}", self.process.lock().unwrap().server.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let kib = |name: &str| -> usize {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim_end_matches("kB").trim().parse().unwrap()
        };
        let stat = fs::read_to_string(format!("{process}/stat")).unwrap();
        // Behind the name, which is in brackets, the third field is next.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Usage {
            memory: kib("VmRSS") * 1024,
            peak: kib("VmHWM") * 1024,
            cpu: Duration::from_millis(ticks * 10), // a tick is 1/100 s wherever Linux runs
            descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
        }
    }

    /// How much more memory than at rest it has ever had, in bytes: at most `most`, and printed.
    #[track_caller]
    pub(crate) fn took_at_most(&self, attack: &str, most: usize) {
        let took = self.usage().peak.saturating_sub(self.at_rest.memory);
        let kib = |bytes| bytes / 1024;
        println!("{attack}, {}: +{} KiB of at most {} KiB", self.name, kib(took), kib(most));
        assert!(took <= most, "{attack}, {}: {took} bytes, more than {most}", self.name);
    }

    /// What `clients` may take that each need so many bytes. One that has a thread to itself also has
    /// the read buffer that the thread waits with, 64 KiB, and what was touched of its stack.
    pub(crate) fn crowd(&self, clients: usize, bytes: usize) -> usize {
        let thread = if self.name == "echo_server_blocking" { 96 << 10 } else { 0 };
        clients * (bytes + thread)
    }

    /// Runs `attack` with `n` and with four times that, and compares what processor time each took:
    /// work that grows with the square would come to sixteen times as much, and eight times is too
    /// much. Times so short that they say nothing count as 20 ms. What a busy machine has distorted
    /// is measured again.
    #[track_caller]
    pub(crate) fn is_linear(&self, what: &str, n: usize, mut attack: impl FnMut(usize)) {
        let mut measured = Vec::new();
        for _ in 0..3 {
            let once = self.cost(what, n, &mut attack);
            let four_times = self.cost(what, 4 * n, &mut attack);
            if four_times <= once.max(Duration::from_millis(20)) * 8 {
                return;
            }
            measured.push((once, four_times));
        }
        panic!("{what}, {}: {measured:?}", self.name);
    }

    /// The processor time that `attack` with `n` takes, which is printed.
    pub(crate) fn cost(&self, what: &str, n: usize, attack: impl FnOnce(usize)) -> Duration {
        let before = self.usage().cpu;
        attack(n);
        let cpu = self.usage().cpu - before;
        let each = cpu.as_secs_f64() * 1e9 / n as f64;
        println!("{what}, {}: {cpu:?} for {n}, {each:.0} ns for each", self.name);
        cpu
    }
}

/// One of the examples.
fn program(name: &str) -> PathBuf {
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

/// What a server sends until the end, as first byte and payload of each frame. The end has to be
/// an orderly one: a reset could have eaten a Close.
#[track_caller]
pub(crate) fn frames_to_the_end(stream: &TcpStream, what: &str) -> Vec<(u8, Vec<u8>)> {
    let (bytes, end) = read_all(stream);
    if let Err(error) = end {
        panic!("{what}: {error} behind {bytes:?}");
    }
    split(Role::Server, &bytes)
}
