//! The program nstar against a scripted daemon.

#[cfg(test)]
mod completion;
#[cfg(test)]
mod console;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod repositories;
#[cfg(test)]
mod seccomp;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod top;
#[cfg(test)]
mod verbs;
#[cfg(test)]
mod waiting;
