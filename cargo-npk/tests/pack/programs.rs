//! Static and dynamic programs, which start in their image.

use std::fs;
use std::path::Path;
use std::process::Command;

use northstar_npk::squashfs::{self, Entry};
use northstar_npk::unpack;

use crate::support::{Crate, INLINE, find, host, list, open, start};

#[test]
fn a_static_program_is_built_packed_and_starts() {
    let this = Crate::new(INLINE);
    let target = host();
    this.write(
        ".cargo/config.toml",
        &format!("[target.{target}]\nrustflags = [\"-C\", \"target-feature=+crt-static\"]\n"),
    );
    let npk = this.packs(&["--target", &target, "--release"]);
    assert_eq!(npk, this.path("built/npk/greet-1.2.3.npk"));
    let (_, package) = open(&npk);
    assert_eq!(package.container().to_string(), "greet:1.2.3");
    assert!(package.hashes().is_none());
    let entries = list(&npk);
    let program = find(&entries, "/bin/greet").unwrap();
    assert_eq!((program.mode, program.uid), (0o755, 1000));
    assert!(find(&entries, "/proc").is_some());
    assert!(find(&entries, "/lib").is_none());
    assert_eq!(start(&this, &npk, "/bin/greet"), "hello from greet\n");
    // It was built with the profile that was asked for, and for the target.
    assert!(
        this.path(&format!("built/{target}/release/greet"))
            .is_file()
    );
    // Nothing is left of the content.
    let left = fs::read_dir(this.path("built")).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".npk-root-")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_dynamic_program_starts_with_the_libraries_that_came_along() {
    let this = Crate::new(&format!("{INLINE}libs = true\n"));
    let npk = this.packs(&[]);
    let entries = list(&npk);
    assert!(find(&entries, "/lib/libc.so.6").is_some());
    assert_eq!(start(&this, &npk, "/bin/greet"), "hello from greet\n");

    // Without them it does not, and that is said before.
    let (npk, warnings) = {
        this.write(
            "Cargo.toml",
            &fs::read_to_string(this.path("Cargo.toml"))
                .unwrap()
                .replace("libs = true\n", ""),
        );
        this.packs_with_warnings(&[])
    };
    assert!(warnings.contains("--libs"), "{warnings}");
    assert!(find(&list(&npk), "/lib").is_none());
    // The command line asks for them, too.
    assert!(find(&list(&this.packs(&["--libs"])), "/lib/libc.so.6").is_some());
}

/// The standard library as a dynamic library is nowhere where a loader looks.
#[test]
fn libraries_are_found_in_directories_that_are_named() {
    let this = Crate::new(INLINE);
    this.write(
        ".cargo/config.toml",
        "[build]\nrustflags = [\"-C\", \"prefer-dynamic\"]\n",
    );
    let reason = this.refused(&["--libs"]);
    assert!(
        reason.contains("libstd") && reason.contains("--lib-dir"),
        "{reason}"
    );
    let output = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .unwrap();
    let directory = String::from_utf8(output.stdout).unwrap();
    let npk = this.packs(&["--libs", "--lib-dir", directory.trim()]);
    let is_std = |entry: &Entry| entry.path.to_string_lossy().starts_with("/lib/libstd-");
    assert!(list(&npk).iter().any(is_std));
    assert_eq!(start(&this, &npk, "/bin/greet"), "hello from greet\n");
}

#[test]
fn the_same_crate_gives_the_same_package() {
    let this = Crate::new(&format!("{INLINE}libs = true\n"));
    let one = fs::read(this.packs(&["--out", "one.npk"])).unwrap();
    let two = fs::read(this.packs(&["--out", "two.npk"])).unwrap();
    assert!(one == two);
}

/// A sysroot may hold libraries of several processors.
#[test]
fn libraries_for_another_processor_are_passed_over() {
    let this = Crate::new(INLINE);
    let npk = this.packs(&["--libs"]);
    let (file, package) = open(&npk);
    unpack::unpack(&file, &package, &this.path("other")).unwrap();
    let libc = this.path("other/root/lib/libc.so.6");
    let right = fs::read(&libc).unwrap();
    let mut wrong = right.clone();
    // The processor of an ELF file (elf(5)): this one is for s390.
    wrong[18..20].copy_from_slice(&22_u16.to_le_bytes());
    fs::write(&libc, &wrong).unwrap();
    let directory = this.path("other/root/lib");
    let npk = this.packs(&["--libs", "--lib-dir", directory.to_str().unwrap()]);
    let (file, package) = open(&npk);
    let packed = squashfs::read_file(&file, package.image(), Path::new("/lib/libc.so.6"), 1 << 30);
    assert!(packed.unwrap().unwrap() == right);
    assert_eq!(start(&this, &npk, "/bin/greet"), "hello from greet\n");
}

/// Whoever packs its own libraries has them used, and none beside them.
#[test]
fn libraries_of_the_root_are_kept() {
    let this = Crate::new(&format!("{INLINE}libs = true\n"));
    let npk = this.packs(&[]);
    let (file, package) = open(&npk);
    unpack::unpack(&file, &package, &this.path("before")).unwrap();
    fs::create_dir(this.path("root")).unwrap();
    fs::rename(this.path("before/root/lib"), this.path("root/lib")).unwrap();
    let cargo_toml = fs::read_to_string(this.path("Cargo.toml")).unwrap();
    this.write("Cargo.toml", &format!("{cargo_toml}root = \"root\"\n"));
    let again = this.packs(&["--out", "again.npk"]);
    let paths = |npk| {
        list(npk)
            .into_iter()
            .map(|entry| entry.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(&npk), paths(&again));
    assert_eq!(start(&this, &again, "/bin/greet"), "hello from greet\n");
}
