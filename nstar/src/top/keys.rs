//! The keyboard.

use std::{io, thread, time::Duration};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::model::Sort;

/// How often the thread looks whether it is still needed.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Quit,
    Move(isize),
    Sort(Sort),
    /// SIGTERM for the chosen container.
    Stop,
    /// SIGKILL for the chosen container.
    Kill,
    Yes,
    /// A key without a meaning: it answers a question with no.
    Other,
    /// The terminal has another size.
    Redraw,
}

/// The keys from now on. The stream ends when the terminal does.
pub fn keys() -> io::Result<UnboundedReceiver<Key>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            while !sender.is_closed() {
                let key = match event::poll(PATIENCE) {
                    Ok(false) => continue,
                    Ok(true) => event::read().ok().map(meaning),
                    Err(_) => None,
                };
                match key {
                    Some(Some(key)) => {
                        if sender.send(key).is_err() {
                            return;
                        }
                    }
                    Some(None) => {}
                    None => return,
                }
            }
        })?;
    Ok(receiver)
}

fn meaning(event: Event) -> Option<Key> {
    let key = match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        Event::Resize(..) => return Some(Key::Redraw),
        _ => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return Some(match key.code {
            KeyCode::Char('c') => Key::Quit,
            KeyCode::Char('l') => Key::Redraw,
            _ => Key::Other,
        });
    }
    Some(match key.code {
        KeyCode::Char('q') => Key::Quit,
        KeyCode::Up => Key::Move(-1),
        KeyCode::Down => Key::Move(1),
        KeyCode::PageUp => Key::Move(-10),
        KeyCode::PageDown => Key::Move(10),
        KeyCode::Home => Key::Move(isize::MIN),
        KeyCode::End => Key::Move(isize::MAX),
        KeyCode::Char('n') => Key::Sort(Sort::Name),
        KeyCode::Char('c') => Key::Sort(Sort::Cpu),
        KeyCode::Char('m') => Key::Sort(Sort::Memory),
        KeyCode::Char('p') => Key::Sort(Sort::Pids),
        KeyCode::Char('r') => Key::Sort(Sort::Restarts),
        KeyCode::Char('u') => Key::Sort(Sort::Uptime),
        KeyCode::Char('s') => Key::Stop,
        KeyCode::Char('k') => Key::Kill,
        KeyCode::Char('y') => Key::Yes,
        _ => Key::Other,
    })
}
