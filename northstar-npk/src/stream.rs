//! Checking a package while it streams by, before all of it has arrived.

use crate::archive::{
    ArchiveError, EntryName, Frame, LOCAL_HEADER_SIZE, Layout, Record, TAIL_LIMIT,
    first_difference, local_header, parse_local,
};
use crate::key::PublicKey;
use crate::limits::BLOCK_U64;
use crate::package::{OpenError, authenticate, check_comment};
use crate::signature::Hashes;
use crate::verity::ArrivingImage;
use crate::version;

/// Checks the bytes of a package in the order of the file, in any pieces.
///
/// It refuses as early as the bytes allow: a foreign file at its first header, an unsigned package
/// or one of another key before the first byte of its image, a damaged image at its end. It holds the
/// manifest and the signature until the image begins, each once, and hardly anything after that.
///
/// One thing it does not check is the image against its root hash. The checksum of the archive, which is compared
/// here, finds damage on the way but no forgery. [`StreamVerifier::image`] gives what does that beside it, on a thread
/// of its own; or it is done afterwards, with [`verify_image`](crate::verity::verify_image).
#[derive(Debug)]
pub struct StreamVerifier {
    key: Option<PublicKey>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Manifest and signature, up to the first byte of the image.
    Head(Head),
    Image {
        start: Start,
        left: u64,
        crc32: crc32fast::Hasher,
    },
    /// Central directory, end record and comment.
    Tail { start: Start, bytes: Vec<u8> },
    /// An earlier update failed, and so does every later one.
    Failed,
}

/// What comes before the image, while it arrives.
#[derive(Debug)]
struct Head {
    /// The entry that is being received, so far.
    bytes: Vec<u8>,
    /// How many bytes of it the next step needs.
    wanted: usize,
    /// Where it begins in the file.
    start: u64,
    /// What it is and its header, once the fixed part of the header is there.
    current: Option<(Record, Vec<u8>)>,
    layout: Option<Layout>,
    /// The entries before.
    records: Vec<Record>,
    manifest: Vec<u8>,
    signature: Option<Vec<u8>>,
}

/// What is left of that when the image begins.
#[derive(Debug)]
struct Start {
    layout: Layout,
    records: Vec<Record>,
    hashes: Option<Hashes>,
    /// The image that the signature is for, as long as nobody asked for it.
    image: Option<ArrivingImage>,
}

impl StreamVerifier {
    /// Begins with a package that has to be signed with `key`, if there is one.
    pub fn new(key: Option<PublicKey>) -> StreamVerifier {
        StreamVerifier {
            key,
            state: State::Head(Head::new()),
        }
    }

    /// Checks the next bytes of the package. After an error the package is refused for good.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<(), OpenError> {
        while !bytes.is_empty() {
            let state = std::mem::replace(&mut self.state, State::Failed);
            self.state = state.advance(&mut bytes, self.key.as_ref())?;
        }
        Ok(())
    }

    /// What hashes the image while it arrives: once, from the first byte of the image on, if the package has to be signed.
    ///
    /// It takes the bytes of the package from any position before the image on.
    pub fn image(&mut self) -> Option<ArrivingImage> {
        match &mut self.state {
            State::Image { start, .. } | State::Tail { start, .. } => start.image.take(),
            State::Head(_) | State::Failed => None,
        }
    }

    /// Checks that the package is complete.
    pub fn finish(self) -> Result<(), OpenError> {
        let State::Tail { start, bytes } = self.state else {
            return Err(ArchiveError::NoEnd.into());
        };
        let fixed = Frame::new(start.layout, &start.records, b"")?
            .directory
            .len();
        let comment = bytes.get(fixed..).ok_or(ArchiveError::NoEnd)?;
        let frame = Frame::new(start.layout, &start.records, comment)?;
        frame.compare_directory(&bytes, &[])?;
        version::parse_comment(comment)?;
        match (self.key, start.hashes) {
            (Some(_), Some(hashes)) => check_comment(comment, &hashes),
            _ => Ok(()),
        }
    }
}

impl State {
    /// Takes as much off the front of `bytes` as belongs to this state.
    fn advance(self, bytes: &mut &[u8], key: Option<&PublicKey>) -> Result<State, OpenError> {
        match self {
            State::Head(mut head) => {
                if !head.receive(bytes)? {
                    return Ok(State::Head(head));
                }
                let hashes = authenticate(&head.manifest, head.signature.as_deref(), key)?;
                let left = head.records.last().map_or(0, |image| image.size.into());
                let image = key.and(hashes).map(|hashes| {
                    ArrivingImage::new(&head.manifest, head.start, hashes.verity_offset / BLOCK_U64)
                });
                let start = Start {
                    image,
                    layout: head.layout.ok_or(ArchiveError::NoEnd)?,
                    records: head.records,
                    hashes,
                };
                Ok(State::Image {
                    start,
                    left,
                    crc32: crc32fast::Hasher::new(),
                })
            }
            State::Image {
                start,
                left,
                mut crc32,
            } => {
                let taken = take(bytes, left);
                crc32.update(taken);
                let left = left - taken.len() as u64;
                if left > 0 {
                    return Ok(State::Image { start, left, crc32 });
                }
                let expected = start.records.last().map(|image| image.crc32);
                if Some(crc32.finalize()) != expected {
                    let entry = EntryName::Image;
                    return Err(ArchiveError::Checksum { entry }.into());
                }
                let bytes = Vec::new();
                Ok(State::Tail { start, bytes })
            }
            State::Tail {
                start,
                bytes: mut tail,
            } => {
                if bytes.len() > TAIL_LIMIT.saturating_sub(tail.len()) {
                    return Err(ArchiveError::NoEnd.into());
                }
                tail.extend_from_slice(bytes);
                *bytes = &[];
                Ok(State::Tail { start, bytes: tail })
            }
            State::Failed => Err(ArchiveError::NoEnd.into()),
        }
    }
}

impl Head {
    fn new() -> Head {
        Head {
            bytes: Vec::new(),
            wanted: LOCAL_HEADER_SIZE,
            start: 0,
            current: None,
            layout: None,
            records: Vec::new(),
            manifest: Vec::new(),
            signature: None,
        }
    }

    /// Takes bytes up to the first one of the image; true if that is reached.
    fn receive(&mut self, bytes: &mut &[u8]) -> Result<bool, ArchiveError> {
        loop {
            let missing = self.wanted.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(take(bytes, missing as u64));
            if self.bytes.len() < self.wanted {
                return Ok(false);
            }
            match self.current.take() {
                None => self.begin_entry()?,
                Some((record, header)) => {
                    self.end_entry(record, &header)?;
                    if record.name == EntryName::Image {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Reads the fixed part of a local header and learns how long the entry is.
    fn begin_entry(&mut self) -> Result<(), ArchiveError> {
        let index = self.records.len();
        let stated = parse_local(&self.bytes).ok_or(ArchiveError::NoEnd)?;
        let layout = match self.layout {
            Some(layout) => layout,
            None => *self.layout.insert(stated.layout?),
        };
        // The lengths of the three names differ. All of the header is compared once it is there.
        let signature_size = EntryName::Signature.as_str().len();
        let name = match index {
            0 => EntryName::Manifest,
            1 if usize::from(stated.name_size) == signature_size => EntryName::Signature,
            _ => EntryName::Image,
        };
        let record = Record::new(name, stated.size.into(), stated.crc32)?;
        let header = local_header(layout, &record, self.start);
        self.wanted = header.len();
        if name != EntryName::Image {
            // Within the limit of the entry.
            self.wanted += record.size as usize;
        }
        self.bytes
            .reserve_exact(self.wanted.saturating_sub(self.bytes.len()));
        self.current = Some((record, header));
        Ok(())
    }

    /// Checks an entry that has arrived; of the image, its header.
    fn end_entry(&mut self, record: Record, header: &[u8]) -> Result<(), ArchiveError> {
        let entry = record.name;
        let found = self.bytes.get(..header.len()).unwrap_or(&self.bytes);
        if let Some(at) = first_difference(found, header) {
            let offset = self.start + at as u64;
            return Err(ArchiveError::LocalHeader { entry, offset });
        }
        let mut content = std::mem::take(&mut self.bytes);
        content.drain(..header.len().min(content.len()));
        if entry != EntryName::Image && crc32fast::hash(&content) != record.crc32 {
            return Err(ArchiveError::Checksum { entry });
        }
        match entry {
            EntryName::Manifest => self.manifest = content,
            EntryName::Signature => self.signature = Some(content),
            EntryName::Image => {}
        }
        self.records.push(record);
        self.start += self.wanted as u64;
        self.wanted = LOCAL_HEADER_SIZE;
        Ok(())
    }
}

/// Takes up to `count` bytes off the front of `bytes`.
fn take<'a>(bytes: &mut &'a [u8], count: u64) -> &'a [u8] {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (taken, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
    *bytes = rest;
    taken
}
