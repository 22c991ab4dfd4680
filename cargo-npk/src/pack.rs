//! `pack`, from one step to the next.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use northstar_npk::squashfs::Compression;
use sextant::output::{self, Output};
use sextant::packing::{ImageArguments, Job};

use crate::cli;
use crate::compile::compile;
use crate::libraries::{Libraries, Program};
use crate::root::Root;
use crate::settings::Settings;

pub(crate) fn run(arguments: &cli::Pack, output: &mut Output) -> anyhow::Result<()> {
    let settings = Settings::read(arguments)?;
    let image = image_arguments(&settings, arguments)?;
    let Some(init) = settings.manifest.init.clone() else {
        bail!("the manifest has no init: it says where in the image the program goes");
    };
    let program = compile(&settings, arguments)?;

    fs::create_dir_all(&settings.target_directory)
        .with_context(|| format!("failed to create {}", settings.target_directory.display()))?;
    let mut root = Root::new(&settings.target_directory)?;
    if let Some(tree) = &settings.root {
        root.copy_tree(tree, Path::new("/"))?;
    }
    for asset in &settings.assets {
        root.copy_asset(asset)?;
    }
    root.place_program(&program, Path::new(&init))?;
    link(&settings, &program, &mut root)?;

    let job = Job {
        manifest: settings.manifest.clone(),
        root: Some(root.path()),
        key: settings.key.as_deref(),
        image: &image,
        fsimage: None,
        clones: arguments.clones,
        sbom: settings.sbom.as_deref(),
        out: &destination(&settings)?,
    };
    for packed in job.run()? {
        output.line(packed.path.display())?;
    }
    Ok(())
}

fn image_arguments(settings: &Settings, arguments: &cli::Pack) -> anyhow::Result<ImageArguments> {
    let compression = match (arguments.compression, &settings.compression) {
        (Some(compression), _) => compression,
        (None, Some(word)) => word
            .parse()
            .context("invalid section [package.metadata.npk]")?,
        (None, None) => Compression::default(),
    };
    Ok(ImageArguments {
        compression,
        block_size: settings.block_size,
        packer: arguments.packer.clone(),
    })
}

/// Puts loader and libraries into the image, or says what a program without them will miss.
fn link(settings: &Settings, program: &Path, root: &mut Root) -> anyhow::Result<()> {
    let parsed = Program::read(program)?;
    let Some(loader) = &parsed.interpreter else {
        return Ok(());
    };
    if !settings.libs {
        if !root.contains(loader) && !is_mounted(settings, loader) {
            output::warn(&format!(
                "{} needs the loader {}, which is neither packed nor mounted: add --libs, or link it \
                 statically",
                settings.bin,
                loader.display()
            ));
        }
        return Ok(());
    }
    let libraries = Libraries::resolve(&parsed, root, &settings.lib_dirs)?;
    for (source, target) in libraries.placed() {
        if is_mounted(settings, target) {
            bail!(
                "{} goes into the image, but the manifest mounts something over it",
                target.display()
            );
        }
        root.place_library(source, target)?;
    }
    if let Some((link, target)) = libraries.link() {
        root.link(link, target)?;
    }
    Ok(())
}

/// Whether a mount of the manifest covers `path`.
fn is_mounted(settings: &Settings, path: &Path) -> bool {
    settings
        .manifest
        .mounts
        .keys()
        .any(|point| path.starts_with(point))
}

fn destination(settings: &Settings) -> anyhow::Result<PathBuf> {
    if let Some(out) = &settings.out {
        return Ok(out.clone());
    }
    let out = settings.target_directory.join("npk");
    fs::create_dir_all(&out).with_context(|| format!("failed to create {}", out.display()))?;
    Ok(out)
}
