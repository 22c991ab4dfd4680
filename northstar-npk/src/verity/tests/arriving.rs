//! Images that are hashed while they arrive.

use super::*;

/// The image of a file of that many blocks, in pieces of that many bytes; all of the file, as a stream goes on after the data.
fn arrived(path: &Path, blocks: u64, piece: usize) -> ArrivingImage {
    let mut image = ArrivingImage::new(MANIFEST, 0, blocks);
    let mut position = 0;
    for bytes in fs::read(path).unwrap().chunks(piece) {
        image.update(position, bytes);
        position += bytes.len() as u64;
    }
    image
}

fn writable(directory: &Path, blocks: u64) -> (File, std::path::PathBuf) {
    let path = directory.join(format!("data-{blocks}"));
    let file = File::options().read(true).write(true).open(&path).unwrap();
    (file, path)
}

#[test]
fn data_that_arrived_in_any_pieces_is_not_read_again() {
    let directory = tempfile::tempdir().unwrap();
    for blocks in COUNTS.into_iter().filter(|&blocks| blocks > 1) {
        let (_, image, _) = image(directory.path(), blocks);
        let (file, path) = writable(directory.path(), blocks);
        let images = [1000, 4096, 524_288, usize::MAX].map(|piece| arrived(&path, blocks, piece));
        // Nothing of it is as it was, so whoever reads it refuses it.
        file.write_all_at(&vec![0x77; image.squashfs_size as usize], 0)
            .unwrap();
        verify_image(&file, &image).unwrap_err();
        for arrived in images {
            arrived.verify(&file, &image).unwrap();
        }
    }
}

#[test]
fn an_image_of_one_block_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let (file, image, _) = image(directory.path(), 1);
    let (writable, path) = writable(directory.path(), 1);
    arrived(&path, 1, 1000).verify(&file, &image).unwrap();
    let arrived = arrived(&path, 1, 1000);
    writable.write_all_at(b"x", 100).unwrap();
    assert!(matches!(
        arrived.verify(&file, &image),
        Err(VerityError::Root)
    ));
}

#[test]
fn what_arrives_damaged_is_named_as_if_it_were_read() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = 16385;
    let (_, image, _) = image(directory.path(), blocks);
    let (file, path) = writable(directory.path(), blocks);
    let tree = blocks + 1;
    let bottom = tree + 3;
    // Data, hashes of each level, and what follows the last one of each.
    let damaged = [
        (0, 0),
        (128, 4095),
        (16384, 7),
        (bottom, 0),
        (bottom + 128, 0),
        (bottom + 128, 64),
        (tree + 1, 32),
        (tree + 2, 0),
        (tree + 2, 4095),
        (tree, 33),
        (tree, 64),
    ];
    for (block, at) in damaged {
        let at = block * BLOCK_U64 + at;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let expected = verify_image(&file, &image).unwrap_err();
        let error = arrived(&path, blocks, 100_000)
            .verify(&file, &image)
            .unwrap_err();
        assert_eq!(error.to_string(), expected.to_string(), "byte {at}");
        file.write_all_at(&byte, at).unwrap();
    }
    arrived(&path, blocks, 100_000)
        .verify(&file, &image)
        .unwrap();
}

#[test]
fn another_root_hash_is_refused_however_the_image_arrived() {
    let directory = tempfile::tempdir().unwrap();
    for blocks in [1, 2, 129] {
        let (file, mut image, _) = image(directory.path(), blocks);
        let (_, path) = writable(directory.path(), blocks);
        if let Some(verity) = &mut image.verity {
            verity.root_hash[31] ^= 1;
        }
        let result = arrived(&path, blocks, 4096).verify(&file, &image);
        assert!(matches!(result, Err(VerityError::Root)), "{result:?}");
    }
}

#[test]
fn an_image_with_another_salt_is_read_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = 300;
    let (file, path) = data(directory.path(), blocks);
    let ours = build_from_start(&file, blocks).unwrap().superblock.salt;
    for salt in [vec![], vec![7; 32], ours[..31].to_vec(), vec![9; 256]] {
        let (file, _) = data(directory.path(), blocks);
        let tree = hash_tree(&file, blocks, &salt, [0; 16]).unwrap();
        let (file, image) = with_tree(&path, blocks, &tree);
        let (writable, _) = writable(directory.path(), blocks);
        arrived(&path, blocks, 5000).verify(&file, &image).unwrap();
        let arrived = arrived(&path, blocks, 5000);
        writable.write_all_at(b"x", 299 * BLOCK_U64).unwrap();
        assert!(matches!(
            arrived.verify(&file, &image),
            Err(VerityError::Block { block: 299 })
        ));
    }
}

#[test]
fn bytes_that_never_arrived_are_read_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = 300;
    let (file, image, _) = image(directory.path(), blocks);
    let (writable, path) = writable(directory.path(), blocks);
    let bytes = fs::read(&path).unwrap();
    let size = image.squashfs_size as usize;
    let update = |pieces: &[std::ops::Range<usize>]| {
        let mut arriving = ArrivingImage::new(MANIFEST, 0, blocks);
        for piece in pieces {
            arriving.update(piece.start as u64, &bytes[piece.clone()]);
        }
        arriving
    };
    let incomplete: [&[std::ops::Range<usize>]; 5] = [
        &[],
        &[0..4096, 4096..size - 1],
        &[1..4096, 4096..size],
        &[0..5000, 5001..size],
        &[5000..size, 0..5000],
    ];
    for pieces in incomplete {
        update(pieces).verify(&file, &image).unwrap();
    }
    // What comes again is hashed once.
    let again = update(&[0..5000, 0..5000, 100..9000, 8000..size]);
    let given_up = incomplete.map(update);
    let other_size = {
        let mut arriving = ArrivingImage::new(MANIFEST, 0, blocks - 1);
        arriving.update(0, &bytes);
        arriving
    };
    writable.write_all_at(b"x", 0).unwrap();
    again.verify(&file, &image).unwrap();
    for arriving in given_up.into_iter().chain([other_size]) {
        assert!(matches!(
            arriving.verify(&file, &image),
            Err(VerityError::Block { block: 0 })
        ));
    }
}
