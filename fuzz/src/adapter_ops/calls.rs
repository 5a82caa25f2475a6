//! The calls themselves, and what each says of the connection.

use super::{
    Call, Case, Lane,
    books::{message, seen, told},
    letters,
};
use crate::support::Seen;
use crate::support::{
    Script,
    life::{Knows, Receives, Sends},
};
use fullduplex::{
    CloseCode, Error, Message, Prepared, SendError, SendErrorReason,
    tokio::{WebSocket, Writer},
};

/// What a connection in one piece and a writer have in common that `Sends` lacks.
pub(super) trait SendsPieces: Sends {
    /// Whether nobody else can send.
    const ALONE: bool;

    async fn send_iter(&mut self, pieces: Vec<Message>) -> Result<(), Error>;
}

impl SendsPieces for WebSocket<Script> {
    const ALONE: bool = true;

    async fn send_iter(&mut self, pieces: Vec<Message>) -> Result<(), Error> {
        Self::send_iter(self, pieces).await
    }
}

impl SendsPieces for Writer<Script> {
    const ALONE: bool = false;

    async fn send_iter(&mut self, pieces: Vec<Message>) -> Result<(), Error> {
        Self::send_iter(self, pieces).await
    }
}

impl Case {
    /// A call that failed, but for one that the caller may not make now, says that the connection is
    /// ending.
    fn judge(&self, of: &impl Knows, result: &Result<(), Error>) {
        if let Err(error) = result {
            assert!(matches!(error, Error::Send(_)) || !of.is_open(), "{error:?}, and it is open");
        }
    }

    /// Receives something, or not: whether there may be more.
    pub(super) async fn receive<R: Receives>(&self, from: &mut R, call: Call) -> bool {
        let lane = &self.lanes[0];
        let partial = self.books.borrow_mut().partial.take();
        if partial.is_some() && call.letter != b'k' && call.number & 0x10 != 0 {
            self.books.borrow_mut().partial = partial;
            // Nothing but the rest of it, or the end.
            return match lane.make(from.recv_event(), call.polls()).await {
                None => !lane.drops.get(),
                Some(Err(Error::Unfinished)) => true,
                Some(Ok(Some(event))) => panic!("{event:?} inside a message"),
                Some(end) => self.ended(from, end.map(|_| ())).await,
            };
        }
        if partial.is_some() || call.letter == b'k' {
            let chunk = match lane.make(from.recv_chunk(), call.polls()).await {
                Some(Ok(Some(chunk))) => chunk,
                other => {
                    {
                        let mut books = self.books.borrow_mut();
                        (books.partial, books.in_chunks) = (partial, true);
                    }
                    return match other {
                        None => !lane.drops.get(),
                        Some(end) => self.ended(from, end.map(|_| ())).await,
                    };
                }
            };
            let mut books = self.books.borrow_mut();
            if books.discards && !chunk.is_first() && partial.is_none() {
                return true; // what comes in front of it was discarded
            }
            assert_eq!(chunk.is_first(), partial.is_none(), "a chunk is lost, or doubled");
            let (text, mut so_far) = partial.unwrap_or((chunk.is_text(), Vec::new()));
            assert_eq!(text, chunk.is_text());
            so_far.extend_from_slice(chunk.as_bytes());
            match (chunk.is_last(), text) {
                (false, _) => books.partial = Some((text, so_far)),
                (_, true) => books.told.push(Seen::Text(String::from_utf8(so_far).expect("text"))),
                (_, false) => books.told.push(Seen::Binary(so_far)),
            }
            return true;
        }
        let received = if call.letter == b'v' {
            let received = lane.make(from.recv_event(), call.polls()).await;
            received.map(|result| result.map(|event| event.map(Seen::from)))
        } else {
            let received = lane.make(from.recv(), call.polls()).await;
            received.map(|result| result.map(|message| message.as_ref().map(told)))
        };
        match received {
            None => !lane.drops.get(),
            Some(Err(Error::Unfinished)) => {
                assert!(self.books.borrow().in_chunks);
                // It has to be gone on with.
                self.books.borrow_mut().discards = true;
                Box::pin(self.receive(from, Call { letter: b'k', number: 0 })).await
            }
            Some(Ok(Some(seen))) => {
                self.books.borrow_mut().told.push(seen);
                true
            }
            Some(end) => self.ended(from, end.map(|_| ())).await,
        }
    }

    /// The end is known, and was reported once.
    async fn ended<R: Receives>(&self, from: &mut R, end: Result<(), Error>) -> bool {
        let closed = from.closed().unwrap_or_else(|| panic!("no end after {end:?}"));
        let reported = self.books.borrow().reported;
        match end {
            Ok(()) => assert!(reported || closed.is_clean(), "nobody was told: {closed:?}"),
            // The rest of a message that was begun in chunks is discarded by a close.
            Err(Error::CutOff) => assert!(!reported && closed.is_clean(), "{closed:?}"),
            Err(error) => assert!(!reported && !closed.is_clean(), "{error:?} after {closed:?}"),
        }
        {
            let mut books = self.books.borrow_mut();
            (books.over, books.reported) = (true, true);
        }
        assert!(matches!(from.recv_chunk().await, Ok(None)));
        assert!(matches!(from.recv().await, Ok(None)));
        assert_eq!(from.closed(), Some(closed));
        assert!(!from.is_open());
        false
    }

    /// Sends back what comes.
    pub(super) async fn echo(&self, ws: &mut WebSocket<Script>, call: Call) {
        if self.books.borrow().partial.is_some() {
            return;
        }
        let echo = ws.run(|incoming, out| {
            let seen = told(&incoming.clone().into_message());
            let fed = out.feed(&incoming);
            let mut books = self.books.borrow_mut();
            books.said.push((seen.clone(), Some(fed.is_ok())));
            books.told.push(seen);
            Ok::<_, Error>(())
        });
        match self.lanes[0].make(echo, call.polls()).await {
            None => {}
            Some(Err(Error::Unfinished)) => assert!(self.books.borrow().in_chunks),
            Some(end) => _ = self.ended(ws, end).await,
        }
    }

    /// Sends something in one of all ways, or not.
    pub(super) async fn send<S: SendsPieces>(
        &self,
        to: &mut S,
        (lane, author): (&Lane, usize),
        call: Call,
    ) {
        let polls = call.polls();
        match call.letter {
            b'f' => {
                let flushed = lane.make(to.flush(), polls).await;
                return self.written(to, flushed);
            }
            b'e' => {
                let ready = lane.make(to.ready(), polls).await;
                if let Some(ready) = &ready {
                    self.judge(to, ready);
                }
                // Nobody else can have taken the room.
                if S::ALONE && matches!(ready, Some(Ok(()))) && to.is_open() {
                    let call = Call { letter: b'd', number: call.number & 0xf0 };
                    let before = to.unsent();
                    let fed = self.feed(to, author, call);
                    let fits = self.books.borrow().torn || self.begun();
                    assert!(fed || fits, "refused, though there is room: {before:?}");
                }
                return;
            }
            b'p' => {
                let payload = format!("{author} {}", self.number()).into_bytes();
                self.books.borrow_mut().pings.push(payload.clone());
                let sent = lane.make(to.ping(&payload), polls).await;
                return self.written(to, sent);
            }
            b'g' => return self.send_fragment(to, (lane, author), call).await,
            b'y' => return self.send_iter(to, (lane, author), call).await,
            b'd' => {
                self.feed(to, author, call);
                return;
            }
            b'c' => return self.close(to, lane, call).await,
            _ => {}
        }
        let (message, seen) = self.message(author, call);
        let before = to.stats().messages_sent;
        let sent = if call.letter == b'q' {
            let prepared = Prepared::new(message);
            lane.make(to.send_prepared(&prepared), polls).await
        } else {
            lane.make(to.send(message), polls).await
        };
        let sure = self.sent(to, sent);
        let exact = (S::ALONE && !self.cuts).then(|| to.stats().messages_sent > before);
        assert!(exact.is_none() || sure.is_none() || sure == exact, "{sure:?} but {exact:?}");
        self.books.borrow_mut().said.push((seen, exact.or(sure)));
    }

    pub(super) fn begun(&self) -> bool {
        self.books.borrow().begun.iter().any(Option::is_some)
    }

    /// A new message and how it will be seen.
    fn message(&self, author: usize, call: Call) -> (Message, Seen) {
        let number = self.number();
        let text = number % 2 == 0;
        let content = format!("{author} {number} {}", letters(call.size()));
        (message(text, &content), seen(text, content))
    }

    /// Whether it was accepted.
    fn feed<S: Sends>(&self, to: &mut S, author: usize, call: Call) -> bool {
        let (message, seen) = self.message(author, call);
        let fed = to.feed(message.clone());
        if let Err(SendError { reason, message: back, .. }) = &fed {
            assert_eq!(*back, message, "another one is handed back");
            let closed = matches!(reason, SendErrorReason::Closed(_));
            assert!(!closed || !to.is_open(), "closed, and it is open");
        }
        self.books.borrow_mut().said.push((seen, Some(fed.is_ok())));
        fed.is_ok()
    }

    /// Whether a message was accepted that was sent.
    fn sent<S: SendsPieces>(&self, to: &S, sent: Option<Result<(), Error>>) -> Option<bool> {
        let sure = match &sent {
            Some(Ok(())) => Some(true),
            Some(Err(Error::Closed(_) | Error::Send(_))) => Some(false),
            // It was queued, perhaps, and then the stream failed.
            Some(Err(_)) | None => None,
        };
        match sent {
            Some(sent) if self.strict => self.written(to, Some(sent)),
            Some(sent) => self.judge(to, &sent),
            None => {}
        }
        sure
    }

    /// What was said to be written is.
    fn written<S: SendsPieces>(&self, to: &S, result: Option<Result<(), Error>>) {
        let Some(result) = result else { return };
        self.judge(to, &result);
        if result.is_ok() && S::ALONE && to.is_open() {
            assert_eq!(to.unsent(), Default::default());
            assert!(self.script.is_flushed(), "written, and not flushed");
        }
    }

    /// Begins a message in fragments, or goes on with it.
    async fn send_fragment<S: SendsPieces>(
        &self,
        to: &mut S,
        (lane, author): (&Lane, usize),
        call: Call,
    ) {
        if self.books.borrow().torn {
            return; // nobody knows what would come of it
        }
        let number = self.number();
        let begun = self.books.borrow_mut().begun[author].take();
        let first = begun.is_none();
        let (text, mut so_far) = begun.unwrap_or((call.number & 0x20 != 0, String::new()));
        // Never empty, so that it shows whether it was taken.
        let piece = match first {
            true => format!("{author} {number} {}", letters(call.size())),
            false => letters(call.size()) + ".",
        };
        let (before, fin) = (to.stats().payload_sent, call.number & 0x10 != 0);
        let sent = lane.make(to.send_fragment(message(text, &piece), fin), call.polls()).await;
        let mut sure = self.sent(to, sent);
        let exact = (S::ALONE && !self.cuts).then(|| to.stats().payload_sent > before);
        assert!(exact.is_none() || sure.is_none() || sure == exact, "{sure:?} but {exact:?}");
        sure = exact.or(sure);
        let mut books = self.books.borrow_mut();
        if sure == Some(false) {
            books.begun[author] = (!first).then_some((text, so_far));
            return;
        }
        so_far += &piece;
        books.torn |= sure.is_none();
        match fin {
            true => books.said.push((seen(text, so_far), sure)),
            false if sure.is_none() => {}
            false => books.begun[author] = Some((text, so_far)),
        }
    }

    /// A message from an iterator.
    async fn send_iter<S: SendsPieces>(
        &self,
        to: &mut S,
        (lane, author): (&Lane, usize),
        call: Call,
    ) {
        {
            let books = self.books.borrow();
            if books.torn || books.begun[author].is_some() {
                return;
            }
        }
        let number = self.number();
        let text = number % 2 == 0;
        let pieces = [format!("{author} {number} "), letters(call.size()), letters(3)];
        let messages = pieces.iter().map(|piece| message(text, piece)).collect();
        let before = to.stats().payload_sent;
        let sent = lane.make(to.send_iter(messages), call.polls()).await;
        let mut sure = self.sent(to, sent);
        if S::ALONE && !self.cuts && sure != Some(true) && to.stats().payload_sent == before {
            sure = Some(false);
        }
        let mut books = self.books.borrow_mut();
        // Refused after its first piece, perhaps.
        let torn = sure.is_none() || !S::ALONE && sure == Some(false);
        books.torn |= torn;
        books.said.push((seen(text, pieces.concat()), sure.filter(|_| !torn)));
    }

    async fn close<S: SendsPieces>(&self, to: &mut S, lane: &Lane, call: Call) {
        {
            let mut books = self.books.borrow_mut();
            books.closes = true;
            if S::ALONE {
                // What comes from now on may be discarded.
                (books.discards, books.in_chunks, books.partial) = (true, true, None);
            }
        }
        let code = [CloseCode::NORMAL, CloseCode::GOING_AWAY][usize::from(call.number >> 4 & 1)];
        let closed = lane.make(to.close((code, "bye")), call.polls()).await;
        let Some(result) = closed else { return };
        let closed = to.closed().unwrap_or_else(|| panic!("no end after {result:?}"));
        let mut books = self.books.borrow_mut();
        assert!(result.is_err() || closed.is_clean() || books.reported, "{closed:?}, and no error");
        assert!(result.is_ok() || !closed.is_clean(), "{result:?} after {closed:?}");
        books.reported |= S::ALONE;
    }
}
