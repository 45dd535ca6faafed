//! The ranks of a run: the only file that names MPI.
//!
//! Without a launcher there is one rank and MPI is never touched. Under one, rank 0's main thread serves the task queue while
//! rank 0's own work runs on another thread; every MPI call is made by the main thread of its rank (MPI_THREAD_FUNNELED).

use mpi::Threading;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Root, Source};
use std::io::Write;
use std::sync::mpsc::{self, TryRecvError};
use std::time::Duration;

const ASK: i32 = 101;
const TASK: i32 = 102;
const NONE: i64 = -1;

/// Environment variables that launchers set: Open MPI, PMIx (srun), PMI (MPICH, Intel).
const LAUNCHER_VARIABLES: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"];

/// The ranks that work together.
pub enum World {
    /// One rank, no MPI.
    Solo,
    /// Under a launcher; the universe must outlive the communicator.
    Mpi { comm: SimpleCommunicator, _universe: mpi::environment::Universe },
}

/// True under a launcher.
fn is_launched() -> bool {
    LAUNCHER_VARIABLES.iter().any(|v| std::env::var_os(v).is_some())
}

impl World {
    /// Joins the other ranks, if there is a launcher, and turns every panic into the end of the whole job.
    pub fn new() -> Self {
        install_abort_hook();
        if !is_launched() {
            return Self::Solo;
        }
        match mpi::initialize_with_threading(Threading::Funneled) {
            Some((universe, _)) => Self::Mpi { comm: universe.world(), _universe: universe },
            None => Self::Solo,
        }
    }

    /// This rank's number, from 0.
    pub fn rank(&self) -> usize {
        match self {
            Self::Solo => 0,
            Self::Mpi { comm, .. } => comm.rank() as usize,
        }
    }

    /// Number of ranks.
    pub fn size(&self) -> usize {
        match self {
            Self::Solo => 1,
            Self::Mpi { comm, .. } => comm.size() as usize,
        }
    }

    /// Ranks on this machine, this one included.
    pub fn n_local(&self) -> usize {
        match self {
            Self::Solo => 1,
            Self::Mpi { comm, .. } => comm.split_shared(comm.rank()).size() as usize,
        }
    }

    /// Rank and process id of every rank on this machine, in the order of the ranks.
    pub fn local_processes(&self) -> Vec<(usize, i32)> {
        let mine = [self.rank() as i32, std::process::id() as i32];
        match self {
            Self::Solo => vec![(0, mine[1])],
            Self::Mpi { comm, .. } => {
                let local = comm.split_shared(comm.rank());
                let mut all = vec![0i32; 2 * local.size() as usize];
                local.all_gather_into(&mine[..], &mut all[..]);
                all.chunks_exact(2).map(|p| (p[0] as usize, p[1])).collect()
            }
        }
    }

    /// Waits for all ranks, asleep: an idle rank takes no CPU from its neighbours' threads.
    pub fn barrier(&self) {
        if let Self::Mpi { comm, .. } = self {
            mpi::request::scope(|scope| {
                let mut request = Some(comm.immediate_barrier());
                let _ = scope;
                let mut naps = 0;
                while let Some(r) = request.take() {
                    match r.test() {
                        Ok(_) => break,
                        Err(r) => request = Some(r),
                    }
                    nap(&mut naps);
                }
            });
        }
    }

    /// Rank 0's text on every rank.
    pub fn broadcast(&self, text: &str) -> String {
        match self {
            Self::Solo => text.to_owned(),
            Self::Mpi { comm, .. } => {
                let root = comm.process_at_rank(0);
                let mut length = text.len() as u64;
                root.broadcast_into(&mut length);
                if length == 0 {
                    return String::new();
                }
                let mut bytes = text.as_bytes().to_vec();
                bytes.resize(length as usize, 0);
                // MPI refuses the pointer of an empty slice.
                if !bytes.is_empty() {
                    root.broadcast_into(&mut bytes[..]);
                }
                String::from_utf8(bytes).expect("rank 0 sent UTF-8")
            }
        }
    }

    /// Every rank's number, by rank, on every rank.
    pub fn gather(&self, value: f64) -> Vec<f64> {
        match self {
            Self::Solo => vec![value],
            Self::Mpi { comm, .. } => {
                let mut all = vec![0.0; comm.size() as usize];
                comm.all_gather_into(&value, &mut all[..]);
                all
            }
        }
    }

    /// Does tasks 0..n, each once, in this order as ranks become free. `progress` is called on rank 0 with the number handed
    /// out and done there. Returns when all are done everywhere; an error ends the whole job.
    pub fn run_tasks(
        &self,
        n: usize,
        work: &(dyn Fn(usize) -> Result<(), String> + Sync),
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), String> {
        match self {
            Self::Solo => {
                for i in 0..n {
                    work(i)?;
                    progress(i + 1);
                }
                Ok(())
            }
            Self::Mpi { comm, .. } if comm.rank() == 0 => {
                self.serve(comm, n as i64, work, progress);
                self.barrier();
                Ok(())
            }
            Self::Mpi { comm, .. } => {
                let root = comm.process_at_rank(0);
                loop {
                    root.send_with_tag(&0i64, ASK);
                    let mut naps = 0;
                    while root.immediate_probe_with_tag(TASK).is_none() {
                        nap(&mut naps);
                    }
                    let (task, _) = root.receive_with_tag::<i64>(TASK);
                    if task == NONE {
                        break;
                    }
                    // MPI belongs to this thread, so it may abort.
                    if let Err(message) = work(task as usize) {
                        self.abort(&message, 1);
                    }
                }
                self.barrier();
                Ok(())
            }
        }
    }

    /// Rank 0: hands out tasks to the others and to its own worker thread.
    fn serve(
        &self,
        comm: &SimpleCommunicator,
        n: i64,
        work: &(dyn Fn(usize) -> Result<(), String> + Sync),
        progress: &mut dyn FnMut(usize),
    ) {
        let mut next = 0;
        let mut finished = 0;
        let mut done_count = 0;
        let mut busy = vec![false; comm.size() as usize];
        let mut take = || {
            let task = if next < n { next } else { NONE };
            next += i64::from(task != NONE);
            task
        };
        std::thread::scope(|scope| {
            let (to_worker, tasks) = mpsc::sync_channel::<i64>(1);
            let (done, from_worker) = mpsc::channel::<Result<(), String>>();
            scope.spawn(move || {
                for task in tasks {
                    if done.send(work(task as usize)).is_err() {
                        break;
                    }
                }
            });
            let mut own = take();
            if own != NONE {
                to_worker.send(own).expect("the worker waits");
            }
            let mut naps = 0;
            while finished < comm.size() - 1 || own != NONE {
                let mut is_idle = true;
                while let Some(status) = comm.any_process().immediate_probe_with_tag(ASK) {
                    is_idle = false;
                    let rank = status.source_rank();
                    let process = comm.process_at_rank(rank);
                    let _ = process.receive_with_tag::<i64>(ASK);
                    done_count += usize::from(busy[rank as usize]);
                    let task = take();
                    busy[rank as usize] = task != NONE;
                    finished += i32::from(task == NONE);
                    process.send_with_tag(&task, TASK);
                }
                match from_worker.try_recv() {
                    Ok(Ok(())) => {
                        is_idle = false;
                        done_count += 1;
                        own = take();
                        if own != NONE {
                            to_worker.send(own).expect("the worker waits");
                        }
                    }
                    Ok(Err(message)) => self.abort(&message, 1),
                    Err(TryRecvError::Disconnected) if own != NONE => panic!("rank 0's worker died on task {own}"),
                    Err(_) => {}
                }
                if is_idle {
                    nap(&mut naps);
                } else {
                    naps = 0;
                    progress(done_count);
                }
            }
            drop(to_worker);
        });
    }

    /// Says why, and ends all ranks.
    pub fn abort(&self, message: &str, status: i32) -> ! {
        // The ranks that this ends must not speak too.
        crate::last_words::claim();
        let _ = writeln!(std::io::stderr(), "fathom: {message}");
        match self {
            Self::Solo => std::process::exit(status),
            Self::Mpi { comm, .. } => comm.abort(status),
        }
    }
}

/// Sleeps after a while: MPI's own waiting spins.
fn nap(naps: &mut u32) {
    if *naps < 50 {
        std::thread::yield_now();
    } else {
        std::thread::sleep(Duration::from_micros(if *naps < 1000 { 200 } else { 2000 }));
    }
    *naps = naps.saturating_add(1);
}

/// A panic anywhere ends the whole job: without this the other ranks would wait for ever.
fn install_abort_hook() {
    std::panic::set_hook(Box::new(move |info| {
        let place = crate::schedule::current_task();
        // SAFETY: MPI_Initialized, MPI_Finalized and MPI_Comm_rank only write to the integers given; MPI_Abort may be called
        // from any thread that ends the process.
        unsafe {
            let (mut is_initialized, mut is_finalized) = (0, 0);
            mpi::ffi::MPI_Initialized(&raw mut is_initialized);
            mpi::ffi::MPI_Finalized(&raw mut is_finalized);
            if is_initialized != 0 && is_finalized == 0 {
                let mut rank = -1;
                mpi::ffi::MPI_Comm_rank(mpi::ffi::RSMPI_COMM_WORLD, &raw mut rank);
                crate::last_words::claim();
                eprintln!("fathom: rank {rank}: {place}: panicked: {info}; ending all ranks");
                mpi::ffi::MPI_Abort(mpi::ffi::RSMPI_COMM_WORLD, 101);
            }
        }
        eprintln!("fathom: rank 0: {place}: panicked: {info}");
        std::process::exit(101);
    }));
}
