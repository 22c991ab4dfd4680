//! Reading the contents of many files of an image in bounded memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

use backhand::{FilesystemReader, InnerNode, SquashfsFileReader};

use super::SquashfsError;
use super::read::open_checked;
use crate::package::Image;

/// Bytes of decompressed fragment blocks that the library may hold.
const FRAGMENTS: usize = 64 * 1024 * 1024;

/// Reads contents by the position of their file in the image.
///
/// The library keeps each block of small files that it decompressed for as long as the image is
/// open. A small image can have very large ones, so here the image is opened anew before they are
/// too many.
pub(crate) struct Contents<'a> {
    file: &'a File,
    image: &'a Image,
    reader: FilesystemReader<'a>,
    /// Fragment blocks that the library holds.
    fragments: BTreeSet<usize>,
}

impl<'a> Contents<'a> {
    /// Begins with an image that was opened, and with that checked, before.
    pub(crate) fn open(file: &'a File, image: &'a Image) -> Result<Contents<'a>, SquashfsError> {
        Ok(Contents {
            file,
            image,
            reader: open_checked(file, image)?,
            fragments: BTreeSet::new(),
        })
    }

    /// The content of the file at `index`; nothing, if that is not a regular file.
    pub(crate) fn read(&mut self, index: usize) -> Result<Box<dyn Read + '_>, SquashfsError> {
        let fragment = self.regular(index).map(SquashfsFileReader::frag_index);
        // Whatever does not exist is an error below.
        self.fragments.extend(fragment);
        let block_size = self.reader.block_size as usize;
        if self.fragments.len().saturating_mul(block_size) > FRAGMENTS {
            *self = Contents::open(self.file, self.image)?;
            self.fragments.extend(fragment);
        }
        match self.regular(index) {
            None => Ok(Box::new(std::io::empty())),
            Some(file) => {
                let content = self.reader.file(file).reader_checked();
                Ok(Box::new(content.map_err(SquashfsError::Read)?))
            }
        }
    }

    fn regular(&self, index: usize) -> Option<&SquashfsFileReader> {
        match &self.reader.root.nodes.get(index)?.inner {
            InnerNode::File(file) => Some(file),
            _ => None,
        }
    }
}
