//! Opening and looking at paths.

use reel_abi::limits::LimitKind;
use reel_abi::record::{CellValue, family};
use reel_abi::types::{FsCode, NodeKind, OpenFlags, Stat};
use reel_abi::wire::Wire;

use super::fault::FileResult;
use super::files::{Files, Place};
use super::lower::Lower;
use super::node::{Census, Entry, Node, node_key};
use super::resolve::{Target, resolve};
use crate::gate::{Gate, Halt};

impl Files {
    /// Opens a path, making or emptying a file as asked. `write` says whether the descriptor is to be written through.
    pub fn open(
        &mut self,
        gate: &mut Gate,
        base: Place,
        path: &str,
        follow: bool,
        how: OpenFlags,
        write: bool,
    ) -> FileResult<(Place, NodeKind)> {
        if how.directory() && (how.create() || how.exclusive() || how.truncate()) {
            return Err(FsCode::Invalid.into());
        }
        if how.create() || how.truncate() || write {
            self.refuse_if_read_only(base)?;
        }
        let follow = follow && !(how.create() && how.exclusive());
        let target = resolve(&mut self.trees[base.tree], gate, base.node, path, follow)?;
        if let Target::Name { dir, name, entry: None, slash } = target {
            return match (how.create(), slash) {
                (false, _) => Err(FsCode::NoEntry.into()),
                (true, true) => Err(FsCode::IsDirectory.into()),
                (true, false) => self.create(gate, Place { tree: base.tree, node: dir }, &name, NodeKind::File),
            };
        }
        // As Linux has it: a path that ends in a slash cannot be made, whatever is there.
        if how.create() && matches!(target, Target::Name { slash: true, .. }) {
            return Err(FsCode::IsDirectory.into());
        }
        if how.create() && how.exclusive() {
            return Err(FsCode::Exist.into());
        }
        let (node, kind) = target.existing()?;
        let place = Place { tree: base.tree, node };
        match kind {
            NodeKind::Directory if how.create() || how.truncate() || write => Err(FsCode::IsDirectory.into()),
            NodeKind::Directory => Ok((place, kind)),
            _ if how.directory() => Err(FsCode::NotDirectory.into()),
            NodeKind::Symlink => Err(FsCode::Loop.into()),
            NodeKind::File => {
                if how.truncate() && self.stat(gate, place)?.size > 0 {
                    self.set_size(gate, place, 0)?;
                }
                Ok((place, kind))
            }
            _ => Err(FsCode::NotPermitted.into()),
        }
    }

    /// Makes a file, directory or link under a name that has no meaning yet.
    pub(super) fn create(
        &mut self,
        gate: &mut Gate,
        dir: Place,
        name: &str,
        kind: NodeKind,
    ) -> FileResult<(Place, NodeKind)> {
        if dir.tree == 0 {
            self.count_nodes(gate, 1)?;
        }
        let now = gate.file_time()?;
        let tree = &mut self.trees[dir.tree];
        if tree.node(gate, dir.node)?.links == 0 {
            return Err(FsCode::NoEntry.into());
        }
        tree.touch(gate, dir.node, now)?;
        tree.check_path(dir.node, name, &Entry { node: 0, kind: NodeKind::File })?;
        let parent = if kind == NodeKind::Directory { dir.node } else { 0 };
        let node = tree.add(Node { parent, ..Node::new(kind, now) })?;
        tree.check_path(dir.node, name, &Entry { node, kind })?;
        tree.set_name(dir.node, name, Some(Entry { node, kind }));
        if kind == NodeKind::Directory {
            tree.names.entry(node).or_default().complete = true;
        }
        Ok((Place { tree: dir.tree, node }, kind))
    }

    /// Size, times and links of a path.
    pub fn stat_at(&mut self, gate: &mut Gate, base: Place, path: &str, follow: bool) -> FileResult<Stat> {
        let place = self.find(gate, base, path, follow)?;
        self.stat(gate, place)
    }

    /// The place of a path, which must exist.
    pub fn find(&mut self, gate: &mut Gate, base: Place, path: &str, follow: bool) -> FileResult<Place> {
        let target = resolve(&mut self.trees[base.tree], gate, base.node, path, follow)?;
        let (node, _) = target.existing()?;
        Ok(Place { tree: base.tree, node })
    }

    /// Where a symbolic link points.
    pub fn readlink(&mut self, gate: &mut Gate, base: Place, path: &str) -> FileResult<String> {
        let place = self.find(gate, base, path, false)?;
        let node = self.trees[place.tree].node(gate, place.node)?;
        match node.kind {
            NodeKind::Symlink if node.target.starts_with('/') => Err(FsCode::NotPermitted.into()),
            NodeKind::Symlink => Ok(node.target.clone()),
            _ => Err(FsCode::Invalid.into()),
        }
    }

    /// Counts nodes made (or, negative, removed) in the space and holds the count against its bound.
    pub(super) fn count_nodes(&mut self, gate: &Gate, change: i64) -> FileResult<()> {
        let census = self.read_census()?;
        let made = self.made.saturating_add(change);
        let limit = gate.limits().space_files;
        if change > 0 && census.saturating_add_signed(made) > limit {
            return Err(Halt::Limit { kind: LimitKind::SpaceFiles, limit }.into());
        }
        self.made = made;
        Ok(())
    }

    fn read_census(&mut self) -> Result<u64, Halt> {
        if let Some(census) = self.census {
            return Ok(census);
        }
        let Lower::Space(snapshot) = &self.trees[0].lower else { return Ok(0) };
        let census = match snapshot.peek(family::NODE, &node_key(0))? {
            Some(CellValue::Inline { bytes }) => {
                Census::from_bytes(&bytes).map_err(|e| Halt::host("the census of the space", &e))?.nodes
            }
            _ => 0,
        };
        self.census = Some(census);
        Ok(census)
    }
}
