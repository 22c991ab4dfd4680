//! Holds the command line, the help, the man pages and the guide together.
