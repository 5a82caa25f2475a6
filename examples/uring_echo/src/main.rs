//! Echoes every message, on io_uring, in one thread: the core driven by completions.
//!
//! `uring_echo [--addr HOST:PORT]`
//!
//! One system call submits what the last batch of completions brought about and waits for the
//! next. Where the kernel refuses io_uring this says so and ends with status 2.

mod buffers;
#[path = "../../epoll_echo/src/session.rs"]
mod session;

use buffers::Buffers;
use fullduplex::{Time, Transport};
use io_uring::{
    IoUring, cqueue, opcode, squeue,
    types::{Fd, SubmitArgs, Timespec},
};
use session::{Rules, Session};
use std::{
    env, io, mem,
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::{AsRawFd, FromRawFd},
    process::ExitCode,
    ptr,
    time::{Duration, Instant},
};

const ENTRIES: u32 = 1024;
const GROUP: u16 = 0;
/// The most that is sent at once.
const CHUNK: usize = 64 * 1024;
/// Empty buffers that are kept for sending.
const POOL: usize = 256;
/// More clients than this wait in the listener's backlog.
const MAX_CLIENTS: usize = 20_000;
/// How exactly deadlines are kept.
const TICK: Duration = Duration::from_millis(250);
/// How long a batch may wait to become as large as the last one, in microseconds.
const BATCH_WAIT: u32 = 50;

/// What a completion is of: the low byte of its user data. The slot is above.
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const CANCEL: u64 = 3;

fn main() -> ExitCode {
    let addr = match address() {
        Ok(addr) => addr,
        Err(usage) => return fail(1, &usage),
    };
    let (uring, buffers) = match set_up() {
        Ok(parts) => parts,
        Err(error) => return fail(2, &format!("the kernel refuses io_uring: {error}")),
    };
    let listener = match TcpListener::bind(&addr).and_then(|it| Ok((it.local_addr()?, it))) {
        Ok((addr, listener)) => {
            println!("listening on ws://{addr}");
            listener
        }
        Err(error) => return fail(1, &format!("cannot listen on {addr}: {error}")),
    };
    match Server::new(uring, buffers, listener).run() {
        Ok(never) => match never {},
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(status: u8, why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(status)
}

fn address() -> Result<String, String> {
    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok("127.0.0.1:9001".to_string()),
        (Some("--addr"), Some(addr)) => Ok(addr),
        _ => Err("usage: uring_echo [--addr HOST:PORT]".to_string()),
    }
}

/// Completions run when this thread asks for them, not in between.
fn set_up() -> io::Result<(IoUring, Buffers)> {
    let uring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(8 * ENTRIES)
        .build(ENTRIES)?;
    let buffers = Buffers::register(&uring, GROUP)?;
    Ok((uring, buffers))
}

enum Never {}

struct Server {
    uring: IoUring,
    buffers: Buffers,
    listener: TcpListener,
    accepting: bool,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// Clients that something came for and that were not looked after since.
    touched: Vec<usize>,
    pool: Vec<Vec<u8>>,
    rules: Rules,
    /// Sends since the last submission, and receives since then.
    sends: usize,
    receives: usize,
}

struct Client {
    stream: TcpStream,
    session: Session,
    /// What the kernel sends now: it is not touched until that is done. Empty if it does not send.
    sending: Vec<u8>,
    receiving: bool,
    cancelling: bool,
    ended: bool,
    shut: bool,
    touched: bool,
}

impl Server {
    fn new(uring: IoUring, buffers: Buffers, listener: TcpListener) -> Self {
        Self {
            uring,
            buffers,
            listener,
            accepting: false,
            clients: Vec::new(),
            free: Vec::new(),
            touched: Vec::new(),
            pool: Vec::new(),
            rules: Rules::default(),
            sends: 0,
            receives: 0,
        }
    }

    #[inline(never)]
    fn run(mut self) -> io::Result<Never> {
        let mut completions = Vec::new();
        let start = Instant::now();
        let mut next_tick = TICK;
        self.accept()?;
        loop {
            self.wait()?;
            completions.extend(self.uring.completion());
            self.receives = 0;
            for completion in completions.drain(..) {
                self.complete(&completion)?;
            }
            self.buffers.publish();
            let elapsed = start.elapsed();
            if elapsed >= next_tick {
                next_tick = elapsed + TICK;
                self.tick(Time::since_epoch(elapsed))?;
            }
            let mut touched = mem::take(&mut self.touched);
            for slot in touched.drain(..) {
                self.drive(slot)?;
            }
            self.touched = touched;
        }
    }

    /// Submits everything and waits. Most sends are done at once, so that waiting for one
    /// completion would be no wait at all: it is for the sends, and for as many receives as the
    /// last time, if these come soon.
    fn wait(&mut self) -> io::Result<()> {
        let tick = Timespec::from(TICK);
        let mut args = SubmitArgs::new().timespec(&tick);
        let mut want = 1;
        if self.uring.params().is_feature_min_timeout() {
            want = self.sends + self.receives.max(1);
            if want > 1 {
                args = args.min_wait_usec(BATCH_WAIT);
            }
        }
        self.sends = 0;
        match self.uring.submitter().submit_with_args(want, &args) {
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
            Ok(_) => Ok(()),
        }
    }

    /// # Safety
    /// The memory that the entry points to stays valid and untouched until its completion.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the caller's promise.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            self.uring.submit()?;
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        if self.accepting || self.clients.len() - self.free.len() >= MAX_CLIENTS {
            return Ok(());
        }
        self.accepting = true;
        let fd = Fd(self.listener.as_raw_fd());
        let accept = opcode::Accept::new(fd, ptr::null_mut(), ptr::null_mut());
        let entry = accept.flags(libc::SOCK_CLOEXEC).build().user_data(ACCEPT);
        // SAFETY: it points to no memory.
        unsafe { self.push(&entry) }
    }

    fn accepted(&mut self, result: i32) -> io::Result<()> {
        self.accepting = false;
        if result < 0 {
            // No descriptors left, perhaps: serve the others until the next tick.
            eprintln!("cannot accept: {}", io::Error::from_raw_os_error(-result));
            return Ok(());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let stream = unsafe { TcpStream::from_raw_fd(result) };
        if stream.set_nodelay(true).is_ok() {
            let slot = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            self.clients[slot] = Some(Client {
                stream,
                session: Session::new(),
                sending: Vec::new(),
                receiving: false,
                cancelling: false,
                ended: false,
                shut: false,
                touched: true,
            });
            self.touched.push(slot);
        }
        self.accept()
    }

    fn complete(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let (slot, result) = ((completion.user_data() >> 8) as usize, completion.result());
        match completion.user_data() & 0xff {
            ACCEPT => return self.accepted(result),
            CANCEL => return Ok(()),
            _ => {}
        }
        // A slot is free only when the kernel has nothing left to tell about it.
        let Some(Some(client)) = self.clients.get_mut(slot) else { return Ok(()) };
        if !mem::replace(&mut client.touched, true) {
            self.touched.push(slot);
        }
        if completion.user_data() & 0xff == RECEIVE {
            self.receives += 1;
            if !cqueue::more(completion.flags()) {
                (client.receiving, client.cancelling) = (false, false);
            }
            match result {
                1.. => {
                    let Some(id) = cqueue::buffer_select(completion.flags()) else {
                        return Err(io::Error::other("received into no buffer"));
                    };
                    // SAFETY: this completion brought it, and it is provided below.
                    let received = unsafe { self.buffers.get(id, result as usize) };
                    let mut spare = self.pool.pop().unwrap_or_default();
                    client.session.receive(received, &mut spare, &self.rules);
                    self.buffers.provide(id);
                    client.session.reclaim(&mut spare);
                    give(&mut self.pool, spare);
                }
                0 => {
                    client.ended = true;
                    client.session.handle_eof();
                }
                _ if matches!(-result, libc::ECANCELED | libc::ENOBUFS | libc::EINTR) => {}
                _ => {
                    client.ended = true;
                    client.session.read_failed();
                }
            }
        } else {
            let sent = mem::take(&mut client.sending);
            if result > 0 {
                // What is queued may have been dropped meanwhile.
                let count = client.session.unsent().len().min(result as usize);
                let mut spare = Vec::new();
                client.session.written(count, &mut spare);
                give(&mut self.pool, spare);
            } else if !matches!(-result, libc::EINTR | libc::EAGAIN) {
                client.session.handle_write_failed();
            }
            give(&mut self.pool, sent);
        }
        Ok(())
    }

    /// Does what can be done for a client now.
    fn drive(&mut self, slot: usize) -> io::Result<()> {
        let Some(client) = &mut self.clients[slot] else { return Ok(()) };
        client.touched = false;
        let fd = Fd(client.stream.as_raw_fd());
        let user_data = (slot as u64) << 8;
        if client.session.can_resume() {
            let mut spare = self.pool.pop().unwrap_or_default();
            client.session.resume(&mut spare, &self.rules);
            client.session.reclaim(&mut spare);
            give(&mut self.pool, spare);
        }
        let transport = loop {
            match client.session.poll_transport() {
                Transport::ShutDown => match client.stream.shutdown(Shutdown::Write) {
                    Ok(()) => client.session.handle_shutdown(),
                    Err(_) => client.session.read_failed(),
                },
                other => break other,
            }
        };
        if transport == Transport::Closed {
            // Ends what the kernel still does for it.
            if !mem::replace(&mut client.shut, true) {
                let _ = client.stream.shutdown(Shutdown::Both);
            }
            if !client.receiving && client.sending.is_empty() {
                self.clients[slot] = None;
                self.free.push(slot);
                return self.accept();
            }
            return Ok(());
        }
        let takes_input = client.session.takes_input() && !client.ended;
        let mut receive = None;
        if takes_input && !client.receiving {
            client.receiving = true;
            let entry = opcode::RecvMulti::new(fd, GROUP).build();
            receive = Some(entry.user_data(user_data | RECEIVE));
        } else if !takes_input && client.receiving && !client.cancelling {
            client.cancelling = true;
            let entry = opcode::AsyncCancel::new(user_data | RECEIVE).build();
            receive = Some(entry.user_data(user_data | CANCEL));
        }
        let mut send = None;
        if client.sending.is_empty() {
            let unsent = client.session.unsent();
            let unsent = &unsent[..unsent.len().min(CHUNK)];
            if !unsent.is_empty() {
                let mut sending = self.pool.pop().unwrap_or_default();
                sending.clear();
                sending.extend_from_slice(unsent);
                let entry = opcode::Send::new(fd, sending.as_ptr(), sending.len() as u32);
                send = Some(entry.flags(libc::MSG_NOSIGNAL).build().user_data(user_data | SEND));
                client.sending = sending;
                self.sends += 1;
            }
        }
        if let Some(entry) = send {
            // SAFETY: `sending` is neither changed nor dropped before the completion: the client
            // is kept until then, and moving a vector does not move its bytes.
            unsafe { self.push(&entry)? };
        }
        if let Some(entry) = receive {
            // SAFETY: it points to no memory; the buffers of the group are never freed.
            unsafe { self.push(&entry)? };
        }
        Ok(())
    }

    fn tick(&mut self, now: Time) -> io::Result<()> {
        for (slot, client) in self.clients.iter_mut().enumerate() {
            let Some(client) = client else { continue };
            if client.session.tick(now) && !mem::replace(&mut client.touched, true) {
                self.touched.push(slot);
            }
        }
        self.accept()
    }
}

/// Keeps a buffer for the next who needs one.
fn give(pool: &mut Vec<Vec<u8>>, buffer: Vec<u8>) {
    if buffer.capacity() > 0 && pool.len() < POOL {
        pool.push(buffer);
    }
}
