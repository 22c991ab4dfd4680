//! The program nstar against a scripted daemon.

#[cfg(test)]
mod daemon;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod verbs;
