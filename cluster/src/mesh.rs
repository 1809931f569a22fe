//! The processes of one cluster find each other.
//!
//! Each process listens on its own line of the hosts file and connects to the processes before it. Timely's own
//! connecting waits for ever, for anyone: here both sides say who they are before timely gets the socket, a stranger is
//! turned away, and waiting has an end.

use crate::config::Shape;
use prometheus_client::metrics::counter::Counter;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::zero_copy::stream::Stream;
use timely::communication::{AllocatorBuilder, Hooks};

/// A process and its cluster.
#[derive(Clone, Debug)]
pub struct Place {
    /// Worker threads of each process.
    pub workers: usize,
    /// This process.
    pub process: usize,
    /// The addresses of all processes; one process: empty.
    pub hosts: Vec<String>,
    /// How long to wait for the others.
    pub patience: Duration,
}

impl Place {
    /// Of a checked command line.
    pub fn new(shape: &Shape) -> Self {
        let hosts = if shape.processes > 1 { shape.hosts.clone() } else { Vec::new() };
        Place { workers: shape.workers, process: shape.process, hosts, patience: shape.patience }
    }
}

/// Why processes did not meet.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// This process cannot listen on its own line of the hosts file.
    #[error("process {process} cannot listen on {address}: {reason}; another program may use the port")]
    Listen {
        /// This process.
        process: usize,
        /// Its address.
        address: String,
        /// What the system says.
        reason: io::Error,
    },
    /// A line of the hosts file is no address.
    #[error("{address} of the hosts file is not an address: {reason}")]
    Address {
        /// The line.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// Another process did not come.
    #[error("process {other} ({address}) did not come within {seconds} s: is it started, with the same hosts file?")]
    Absent {
        /// The other one.
        other: usize,
        /// Its address.
        address: String,
        /// How long this one waited.
        seconds: u64,
    },
    /// Both run, and do not fit.
    #[error("process {other} runs {theirs} workers and this one {ours}: every process needs the same --workers")]
    Workers {
        /// The other one.
        other: usize,
        /// Its workers.
        theirs: u64,
        /// This one's.
        ours: u64,
    },
    /// Timely did not take the sockets.
    #[error("the processes cannot talk: {0}")]
    Network(#[from] io::Error),
}

/// What opens a connection: a word nobody says by chance, the process, its workers.
const GREETING: &[u8; 8] = b"weir/1\r\n";

/// One allocator a local worker, and what must live as long as they do.
pub type Allocators = (Vec<AllocatorBuilder>, Box<dyn std::any::Any + Send>);

/// A socket that counts what is written to it.
struct Counted {
    socket: TcpStream,
    sent: Counter,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.socket.write(bytes)?;
        self.sent.inc_by(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Stream for Counted {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Counted { socket: self.socket.try_clone()?, sent: self.sent.clone() })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}

/// Connects this process with the others. What it sends them from then on is counted in `sent`, in bytes.
///
/// # Errors
/// See [`MeshError`].
pub fn connect(place: &Place, sent: &Counter) -> Result<Allocators, MeshError> {
    let hooks = Hooks::default();
    let local = ProcessBuilder::new_typed_vector(place.workers, hooks.refill.clone(), hooks.spill.clone());
    if place.hosts.len() <= 1 {
        return Ok((local.into_iter().map(AllocatorBuilder::Process).collect(), Box::new(())));
    }
    let counted = |socket| Counted { socket, sent: sent.clone() };
    let sockets = meet(place)?.into_iter().map(|socket| socket.map(counted)).collect();
    let (builders, guard) = initialize_networking_from_sockets(local, sockets, place.process, place.workers, hooks)?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
}

/// A socket to each other process, in the order of the hosts file, with nothing at this one's place.
fn meet(place: &Place) -> Result<Vec<Option<TcpStream>>, MeshError> {
    let deadline = Instant::now() + place.patience;
    let address = &place.hosts[place.process];
    let listener = listen(address).map_err(|reason| MeshError::Listen {
        process: place.process,
        address: address.clone(),
        reason,
    })?;
    let mut sockets: Vec<Option<TcpStream>> = place.hosts.iter().map(|_| None).collect();
    for (other, address) in place.hosts.iter().enumerate().take(place.process) {
        sockets[other] = Some(call(place, other, address, deadline)?);
    }
    while let Some(other) = (place.process + 1..place.hosts.len()).find(|&i| sockets[i].is_none()) {
        match listener.accept() {
            Ok((socket, from)) => match answer(place, socket) {
                Ok((who, socket)) => sockets[who] = Some(socket),
                Err(Refused::Stranger) => tracing::warn!(%from, "turned away a connection that is no weir process"),
                Err(Refused::Unfit(error)) => return Err(error),
            },
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() > deadline {
                    return Err(absent(place, other));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(sockets)
}

fn listen(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn absent(place: &Place, other: usize) -> MeshError {
    MeshError::Absent { other, address: place.hosts[other].clone(), seconds: place.patience.as_secs() }
}

/// Connects to a process before this one.
fn call(place: &Place, other: usize, address: &str, deadline: Instant) -> Result<TcpStream, MeshError> {
    address.to_socket_addrs().map_err(|e| MeshError::Address { address: address.into(), reason: e.to_string() })?;
    loop {
        if let Ok(mut socket) = TcpStream::connect(address)
            && let Ok((who, workers)) = greet(&mut socket, place).and_then(|()| read_greeting(&mut socket))
        {
            if workers != place.workers as u64 {
                return Err(MeshError::Workers { other, theirs: workers, ours: place.workers as u64 });
            }
            if who == other as u64 {
                return Ok(socket);
            }
        }
        if Instant::now() > deadline {
            return Err(absent(place, other));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

enum Refused {
    Stranger,
    Unfit(MeshError),
}

/// Takes a connection of a process after this one.
fn answer(place: &Place, mut socket: TcpStream) -> Result<(usize, TcpStream), Refused> {
    let stranger = |_| Refused::Stranger;
    socket.set_nonblocking(false).map_err(stranger)?;
    let (who, workers) = read_greeting(&mut socket).map_err(stranger)?;
    let other = usize::try_from(who).map_err(|_| Refused::Stranger)?;
    if other <= place.process || other >= place.hosts.len() {
        return Err(Refused::Stranger);
    }
    greet(&mut socket, place).map_err(stranger)?;
    if workers != place.workers as u64 {
        return Err(Refused::Unfit(MeshError::Workers { other, theirs: workers, ours: place.workers as u64 }));
    }
    Ok((other, socket))
}

fn greet(socket: &mut TcpStream, place: &Place) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.write_all(GREETING)?;
    socket.write_all(&(place.process as u64).to_be_bytes())?;
    socket.write_all(&(place.workers as u64).to_be_bytes())
}

fn read_greeting(socket: &mut TcpStream) -> io::Result<(u64, u64)> {
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut greeting = [0; 24];
    socket.read_exact(&mut greeting)?;
    socket.set_read_timeout(None)?;
    if &greeting[..8] != GREETING {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let number = |at: usize| greeting[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
    Ok((number(8), number(16)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(hosts: &[String], process: usize, workers: usize) -> Place {
        Place { workers, process, hosts: hosts.to_vec(), patience: Duration::from_secs(5) }
    }

    fn hosts() -> Vec<String> {
        let listeners: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        listeners.iter().map(|l| l.local_addr().unwrap().to_string()).collect()
    }

    #[test]
    fn two_processes_meet_and_a_stranger_is_turned_away() {
        let hosts = hosts();
        let (first, second) = (place(&hosts, 0, 1), place(&hosts, 1, 1));
        let zero = std::thread::spawn(move || meet(&first).map(|s| s.iter().map(Option::is_some).collect::<Vec<_>>()));
        let mut stranger = loop {
            if let Ok(socket) = TcpStream::connect(&hosts[0]) {
                break socket;
            }
        };
        stranger.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
        assert!(meet(&second).unwrap()[0].is_some());
        assert_eq!(zero.join().unwrap().unwrap(), [false, true]);
    }

    #[test]
    fn different_workers_are_told() {
        let hosts = hosts();
        let (first, second) = (place(&hosts, 0, 1), place(&hosts, 1, 2));
        let zero = std::thread::spawn(move || meet(&first).map(|_| ()));
        assert!(matches!(meet(&second).map(|_| ()), Err(MeshError::Workers { .. })));
        assert!(matches!(zero.join().unwrap(), Err(MeshError::Workers { .. })));
    }

    #[test]
    fn a_taken_port_and_an_absent_process_are_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let hosts = vec![taken.local_addr().unwrap().to_string(), "127.0.0.1:1".into()];
        assert!(matches!(meet(&place(&hosts, 0, 1)).map(|_| ()), Err(MeshError::Listen { process: 0, .. })));
        let hosts = vec!["127.0.0.1:1".into(), "127.0.0.1:0".into()];
        let mut late = place(&hosts, 1, 1);
        late.patience = Duration::from_millis(100);
        assert!(matches!(meet(&late).map(|_| ()), Err(MeshError::Absent { other: 0, .. })));
    }
}
