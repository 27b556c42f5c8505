//! Making, moving and removing names.

use reel_abi::types::{FsCode, NodeKind, WallReading};

use super::fault::{Fault, FileResult};
use super::files::{Files, Place};
use super::lower::Lower;
use super::node::Entry;
use super::resolve::{Target, resolve};
use crate::gate::Gate;

/// Longest target of a symbolic link, in bytes.
const LINK_BYTES: usize = 4096;

/// A name in a directory, and its meaning.
struct Named {
    dir: Place,
    name: String,
    entry: Option<Entry>,
    slash: bool,
}

impl Files {
    /// Makes a directory.
    pub fn create_directory(&mut self, gate: &mut Gate, base: Place, path: &str) -> FileResult<()> {
        self.refuse_if_read_only(base)?;
        let named = self.named(gate, base, path, FsCode::Exist)?;
        if named.entry.is_some() {
            return Err(FsCode::Exist.into());
        }
        self.create(gate, named.dir, &named.name, NodeKind::Directory).map(drop)
    }

    /// Makes a symbolic link at `path`.
    pub fn symlink(&mut self, gate: &mut Gate, base: Place, target: &str, path: &str) -> FileResult<()> {
        self.refuse_if_read_only(base)?;
        if target.starts_with('/') {
            return Err(FsCode::NotPermitted.into());
        }
        if target.is_empty() {
            return Err(FsCode::NoEntry.into());
        }
        if target.contains('\0') {
            return Err(FsCode::Invalid.into());
        }
        if target.len() > LINK_BYTES {
            return Err(FsCode::NameTooLong.into());
        }
        let named = self.named(gate, base, path, FsCode::Exist)?;
        match (&named.entry, named.slash) {
            (Some(entry), true) if entry.kind != NodeKind::Directory => return Err(FsCode::NotDirectory.into()),
            (Some(_), _) => return Err(FsCode::Exist.into()),
            (None, true) => return Err(FsCode::NoEntry.into()),
            (None, false) => {}
        }
        let (place, _) = self.create(gate, named.dir, &named.name, NodeKind::Symlink)?;
        let node = self.trees[place.tree].node_mut(gate, place.node)?;
        node.target = target.to_owned();
        node.size = target.len() as u64;
        Ok(())
    }

    /// Makes another name for a file.
    pub fn link(
        &mut self,
        gate: &mut Gate,
        base: Place,
        path: &str,
        new_base: Place,
        new_path: &str,
    ) -> FileResult<()> {
        self.refuse_if_read_only(base)?;
        self.refuse_if_read_only(new_base)?;
        let old = resolve(&mut self.trees[base.tree], gate, base.node, path, false)?;
        let (node, kind) = old.existing()?;
        if base.tree != new_base.tree {
            return Err(FsCode::CrossDevice.into());
        }
        let new = self.named(gate, new_base, new_path, FsCode::Exist)?;
        if new.entry.is_some() {
            return Err(FsCode::Exist.into());
        }
        if new.slash {
            return Err(FsCode::NoEntry.into());
        }
        if kind == NodeKind::Directory {
            return Err(FsCode::NotPermitted.into());
        }
        let now = gate.file_time()?;
        if kind == NodeKind::File {
            self.trees[base.tree].pin(gate, &self.store, node)?;
        }
        self.rename_in_place(gate, &new, Some(Entry { node, kind }), now)?;
        let file = self.trees[base.tree].node_mut(gate, node)?;
        file.links += 1;
        file.changed = now;
        Ok(())
    }

    /// Removes a file or link.
    pub fn unlink(&mut self, gate: &mut Gate, base: Place, path: &str) -> FileResult<()> {
        self.refuse_if_read_only(base)?;
        let named = self.named(gate, base, path, FsCode::IsDirectory)?;
        let Some(entry) = named.entry.clone() else { return Err(FsCode::NoEntry.into()) };
        if entry.kind == NodeKind::Directory {
            return Err(FsCode::IsDirectory.into());
        }
        if named.slash {
            return Err(FsCode::NotDirectory.into());
        }
        let now = gate.file_time()?;
        self.pin_before_loss(gate, named.dir.tree, &entry)?;
        self.rename_in_place(gate, &named, None, now)?;
        self.drop_link(gate, Place { tree: base.tree, node: entry.node }, now)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&mut self, gate: &mut Gate, base: Place, path: &str) -> FileResult<()> {
        self.refuse_if_read_only(base)?;
        let named = self.named(gate, base, path, FsCode::Invalid)?;
        let Some(entry) = named.entry.clone() else { return Err(FsCode::NoEntry.into()) };
        if entry.kind != NodeKind::Directory {
            return Err(FsCode::NotDirectory.into());
        }
        if !self.trees[base.tree].is_empty(gate, entry.node)? {
            return Err(FsCode::NotEmpty.into());
        }
        let now = gate.file_time()?;
        self.rename_in_place(gate, &named, None, now)?;
        self.drop_link(gate, Place { tree: base.tree, node: entry.node }, now)
    }

    /// Moves a name, replacing what the new one meant as POSIX `rename` does.
    pub fn rename(
        &mut self,
        gate: &mut Gate,
        base: Place,
        path: &str,
        new_base: Place,
        new_path: &str,
    ) -> FileResult<()> {
        self.refuse_if_read_only(base)?;
        self.refuse_if_read_only(new_base)?;
        // As POSIX has it, both directories must be there before either name is looked at.
        let old = self.named(gate, base, path, FsCode::Busy);
        if base.tree != new_base.tree {
            return Err(FsCode::CrossDevice.into());
        }
        let (old, new) = match (old, self.named(gate, new_base, new_path, FsCode::Busy)) {
            (Err(Fault::Code(FsCode::Busy)), Err(other)) => return Err(other),
            (old, new) => (old?, new?),
        };
        let Some(entry) = old.entry.clone() else { return Err(FsCode::NoEntry.into()) };
        let is_dir = entry.kind == NodeKind::Directory;
        if (old.slash || new.slash) && !is_dir {
            return Err(FsCode::NotDirectory.into());
        }
        let tree = &mut self.trees[base.tree];
        if is_dir && tree.is_within(gate, new.dir.node, entry.node)? {
            return Err(FsCode::Invalid.into());
        }
        if let Some(replaced) = &new.entry {
            if replaced.node == entry.node {
                return Ok(());
            }
            if replaced.kind == NodeKind::Directory && tree.is_within(gate, old.dir.node, replaced.node)? {
                return Err(FsCode::NotEmpty.into());
            }
            match (is_dir, replaced.kind == NodeKind::Directory) {
                (true, false) => return Err(FsCode::NotDirectory.into()),
                (false, true) => return Err(FsCode::IsDirectory.into()),
                (true, true) if !tree.is_empty(gate, replaced.node)? => return Err(FsCode::NotEmpty.into()),
                _ => {}
            }
        }
        let now = gate.file_time()?;
        // On the host the old path will be gone at the flush: all that moves is captured now.
        self.pin_subtree(gate, base.tree, &entry)?;
        self.rename_in_place(gate, &new, Some(entry.clone()), now)?;
        self.rename_in_place(gate, &old, None, now)?;
        if let Some(replaced) = new.entry {
            self.drop_link(gate, Place { tree: base.tree, node: replaced.node }, now)?;
        }
        let moved = self.trees[base.tree].node_mut(gate, entry.node)?;
        moved.changed = now;
        if is_dir {
            moved.parent = new.dir.node;
        }
        Ok(())
    }

    /// A path as a name in a directory; `unnamed` is the code where it ends in `.` or `..`.
    fn named(&mut self, gate: &mut Gate, base: Place, path: &str, unnamed: FsCode) -> FileResult<Named> {
        let tree = &mut self.trees[base.tree];
        // A trailing slash makes `resolve` follow a link in the last place; here the name itself is meant.
        let bare = path.trim_end_matches('/');
        let slash = bare.len() < path.len() && !bare.is_empty();
        match resolve(tree, gate, base.node, if slash { bare } else { path }, false)? {
            Target::Dir(_) => Err(unnamed.into()),
            Target::Name { dir, name, entry, .. } => {
                Ok(Named { dir: Place { tree: base.tree, node: dir }, name, entry, slash })
            }
        }
    }

    /// Gives a name a new meaning and its directory a new time.
    fn rename_in_place(
        &mut self,
        gate: &mut Gate,
        named: &Named,
        entry: Option<Entry>,
        now: WallReading,
    ) -> FileResult<()> {
        let tree = &mut self.trees[named.dir.tree];
        if let Some(entry) = &entry {
            tree.check_path(named.dir.node, &named.name, entry)?;
        }
        tree.touch(gate, named.dir.node, now)?;
        tree.set_name(named.dir.node, &named.name, entry);
        Ok(())
    }

    fn drop_link(&mut self, gate: &mut Gate, place: Place, now: WallReading) -> FileResult<()> {
        let node = self.trees[place.tree].node_mut(gate, place.node)?;
        node.links = node.links.saturating_sub(1);
        node.changed = now;
        if node.links == 0 && place.tree == 0 {
            self.count_nodes(gate, -1)?;
        }
        Ok(())
    }

    /// A file that loses its name may still be open: its content is captured before.
    fn pin_before_loss(&mut self, gate: &mut Gate, tree: usize, entry: &Entry) -> FileResult<()> {
        match entry.kind {
            NodeKind::File => self.trees[tree].pin(gate, &self.store, entry.node),
            _ => Ok(()),
        }
    }

    fn pin_subtree(&mut self, gate: &mut Gate, tree: usize, entry: &Entry) -> FileResult<()> {
        if !matches!(self.trees[tree].lower, Lower::Host(_)) {
            return Ok(());
        }
        let mut open = vec![entry.clone()];
        while let Some(entry) = open.pop() {
            match entry.kind {
                NodeKind::Directory => {
                    open.extend(self.trees[tree].list(gate, entry.node)?.into_iter().map(|(_, entry)| entry))
                }
                NodeKind::File => self.trees[tree].pin(gate, &self.store, entry.node)?,
                _ => drop(self.trees[tree].node(gate, entry.node)?.kind),
            }
        }
        Ok(())
    }
}
