//! Reads a source file and lists what it names: every path, however it is dressed up, and what else the rules look at.
//!
//! Paths come out absolute: `self` and `super` are resolved against the module they stand in, and names that a `use`
//! brought in are replaced by what they stand for. Macro bodies and attributes are read as tokens.

use std::collections::{BTreeMap, BTreeSet};

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) paths: BTreeSet<Named>,
    /// Every identifier, for the few that only certain files may say.
    pub(crate) idents: BTreeSet<String>,
    pub(crate) has_unsafe: bool,
    /// `#[path]`: a module that lies elsewhere than its name says.
    pub(crate) has_path_attribute: bool,
    /// `include!`: source that this scan does not see.
    pub(crate) has_include: bool,
    pub(crate) has_super_super: bool,
    /// Items that are not `mod` or documentation, in case they should not be there.
    pub(crate) items_beside_mods: usize,
    /// Modules in files of their own that exist only under `cfg(test)`.
    pub(crate) test_modules: Vec<Vec<String>>,
    pub(crate) modules: Vec<Vec<String>>,
}

/// A path that a file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// From `crate` or an external crate on, as far as that can be known.
    pub(crate) segments: Vec<String>,
    /// What a `use` brings in, not what an expression or type says.
    pub(crate) import: bool,
    /// It is passed on to others by a `pub use`.
    pub(crate) exported: bool,
    /// Under `cfg(test)`.
    pub(crate) test: bool,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.segments.join("::"))
    }
}

/// Scans the file of a module. `module` is its path below the crate, empty for `lib.rs` and for binaries. `own_name` is
/// what the package's library is called from outside.
pub(crate) fn scan(source: &str, module: &[String], own_name: &str, test: bool) -> syn::Result<Scan> {
    let file = syn::parse_file(source)?;
    let mut scanner = Scanner {
        module: module.to_vec(),
        test,
        own_name,
        found: Vec::new(),
        aliases: BTreeMap::new(),
        scan: Scan::default(),
    };
    scanner.scan.items_beside_mods = file.items.iter().filter(|item| !matches!(item, syn::Item::Mod(_))).count();
    scanner.visit_file(&file);
    Ok(scanner.finish())
}

struct Scanner<'a> {
    module: Vec<String>,
    test: bool,
    own_name: &'a str,
    /// With the module that a path stands in; without one where a leading `::` keeps local names out.
    found: Vec<(Option<Vec<String>>, Named)>,
    /// What a name stands for, by the module that it was brought into.
    aliases: BTreeMap<(Vec<String>, String), Vec<Vec<String>>>,
    scan: Scan,
}

impl Scanner<'_> {
    /// Once all names are known, paths that begin with one are read as what they stand for.
    fn finish(mut self) -> Scan {
        for (module, named) in self.found {
            let first = named.segments.first().cloned().unwrap_or_default();
            match module.and_then(|module| self.aliases.get(&(module, first))) {
                Some(meanings) => {
                    for meaning in meanings {
                        let segments = meaning.iter().chain(named.segments.iter().skip(1)).cloned().collect();
                        self.scan.paths.insert(Named { segments, ..named.clone() });
                    }
                }
                None => {
                    self.scan.paths.insert(named);
                }
            }
        }
        self.scan
    }

    fn path(&mut self, segments: &[String], leading_colon: bool) {
        // A lone name is a variable or a type of the prelude, or was imported and is noted there.
        if segments.len() > 1 {
            let segments = self.note(segments);
            self.push(segments, leading_colon, false, false);
        }
    }

    fn push(&mut self, segments: Vec<String>, leading_colon: bool, import: bool, exported: bool) {
        let named = Named { segments, import, exported, test: self.test };
        self.found.push(((!leading_colon).then(|| self.module.clone()), named));
    }

    /// Makes the path absolute, and notes its identifiers.
    fn note(&mut self, segments: &[String]) -> Vec<String> {
        if segments.windows(2).any(|pair| pair == ["super", "super"]) {
            self.scan.has_super_super = true;
        }
        self.scan.idents.extend(segments.iter().cloned());
        let mut absolute: Option<Vec<String>> = None;
        let mut rest = segments;
        while let Some((first, tail)) = rest.split_first() {
            let here = || self.module.clone();
            absolute = match first.as_str() {
                "crate" => Some(Vec::new()),
                name if name == self.own_name => Some(Vec::new()),
                "self" => Some(absolute.unwrap_or_else(here)),
                "super" => {
                    let mut parent = absolute.unwrap_or_else(here);
                    parent.pop();
                    Some(parent)
                }
                _ => break,
            };
            rest = tail;
        }
        match absolute {
            Some(module) => ["crate".to_owned()].into_iter().chain(module).chain(rest.iter().cloned()).collect(),
            None => segments.to_vec(),
        }
    }

    fn use_tree(&mut self, tree: &syn::UseTree, prefix: &[String], leading_colon: bool, exported: bool) {
        let with = |ident: &syn::Ident| [prefix, &[plain(ident)]].concat();
        let (segments, name) = match tree {
            syn::UseTree::Path(path) => return self.use_tree(&path.tree, &with(&path.ident), leading_colon, exported),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.use_tree(tree, prefix, leading_colon, exported));
            }
            syn::UseTree::Glob(_) => ([prefix, &["*".to_owned()]].concat(), None),
            syn::UseTree::Name(name) if name.ident == "self" => (prefix.to_vec(), prefix.last().cloned()),
            syn::UseTree::Name(name) => (with(&name.ident), Some(plain(&name.ident))),
            syn::UseTree::Rename(rename) if rename.ident == "self" => (prefix.to_vec(), Some(plain(&rename.rename))),
            syn::UseTree::Rename(rename) => (with(&rename.ident), Some(plain(&rename.rename))),
        };
        let absolute = self.note(&segments);
        if let Some(name) = name {
            self.aliases.entry((self.module.clone(), name)).or_default().push(absolute.clone());
        }
        // `use a;` and `use a as b` stand for a itself, which an alias of the same name must not hide.
        let rooted = leading_colon || absolute.len() == 1;
        self.push(absolute, rooted, true, exported);
    }

    /// Paths, identifiers and `unsafe` in tokens that are not parsed.
    fn tokens(&mut self, mut cursor: Cursor<'_>, prefix: &[String]) {
        while !cursor.eof() {
            let (start, leading_colon) = match double_colon(cursor) {
                Some(after) => (after, true),
                None => (cursor, false),
            };
            if let Some((ident, after)) = start.ident() {
                let mut segments = prefix.to_vec();
                segments.push(plain(&ident));
                cursor = after;
                let mut grouped = false;
                while let Some(after) = double_colon(cursor) {
                    if let Some((ident, after)) = after.ident() {
                        segments.push(plain(&ident));
                        cursor = after;
                    } else if let Some((inside, _, _, after)) = after.any_group() {
                        self.tokens(inside, &segments);
                        (cursor, grouped) = (after, true);
                        break;
                    } else if let Some((star, after)) = after.punct().filter(|(punct, _)| punct.as_char() == '*') {
                        segments.push(star.as_char().to_string());
                        cursor = after;
                        break;
                    } else {
                        cursor = after;
                        break;
                    }
                }
                self.scan.has_unsafe |= segments.iter().any(|s| s == "unsafe" || s == "unsafe_code");
                self.scan.idents.extend(segments.iter().cloned());
                if !grouped {
                    self.path(&segments, leading_colon);
                }
            } else if let Some((inside, _, _, after)) = cursor.any_group() {
                self.tokens(inside, prefix);
                cursor = after;
            } else if let Some((_, after)) = cursor.token_tree() {
                cursor = after;
            } else {
                return;
            }
        }
    }

    /// A path in a string, as `#[serde(with = "...")]` has it.
    fn strings(&mut self, mut cursor: Cursor<'_>) {
        while !cursor.eof() {
            if let Some((literal, after)) = cursor.literal() {
                let text = syn::parse_str::<syn::LitStr>(&literal.to_string()).map(|text| text.value());
                if let Some(path) = text.ok().and_then(|text| syn::parse_str::<syn::Path>(&text).ok()) {
                    self.visit_path(&path);
                }
                cursor = after;
            } else if let Some((inside, _, _, after)) = cursor.any_group() {
                self.strings(inside);
                cursor = after;
            } else if let Some((_, after)) = cursor.token_tree() {
                cursor = after;
            } else {
                return;
            }
        }
    }

    fn within(&mut self, attributes: &[syn::Attribute], visit: impl FnOnce(&mut Self)) {
        let before = self.test;
        self.test |= attributes.iter().any(is_test_only);
        visit(self);
        self.test = before;
    }
}

impl<'ast> Visit<'ast> for Scanner<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        self.within(attributes(item), |this| visit::visit_item(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(&item.attrs, |this| visit::visit_impl_item_fn(this, item));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = plain(&item.ident);
        let inner = [self.module.as_slice(), std::slice::from_ref(&name)].concat();
        let absolute = ["crate".to_owned()].into_iter().chain(inner.iter().cloned()).collect();
        self.aliases.entry((self.module.clone(), name)).or_default().push(absolute);
        if item.content.is_none() {
            let list = if self.test { &mut self.scan.test_modules } else { &mut self.scan.modules };
            list.push(inner.clone());
        }
        let outer = std::mem::replace(&mut self.module, inner);
        visit::visit_item_mod(self, item);
        self.module = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        let exported = !matches!(item.vis, syn::Visibility::Inherited);
        self.use_tree(&item.tree, &[], item.leading_colon.is_some(), exported);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let name = plain(&item.ident);
        // `extern crate self as x` is a second name for the whole house.
        let segments = vec![if name == "self" { "crate".to_owned() } else { name.clone() }];
        let alias = item.rename.as_ref().map_or(name, |(_, rename)| plain(rename));
        self.aliases.entry((self.module.clone(), alias)).or_default().push(segments.clone());
        self.push(segments, true, true, false);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
        self.path(&segments, path.leading_colon.is_some());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if item.path.segments.last().is_some_and(|last| last.ident == "include") {
            self.scan.has_include = true;
        }
        self.visit_path(&item.path);
        let tokens = TokenBuffer::new2(item.tokens.clone());
        self.tokens(tokens.begin(), &[]);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        let meta = attribute.path().get_ident().map(plain).unwrap_or_default();
        self.visit_path(attribute.path());
        let tokens = match &attribute.meta {
            syn::Meta::List(list) => list.tokens.clone(),
            syn::Meta::NameValue(pair) => {
                self.scan.has_path_attribute |= meta == "path";
                return self.visit_expr(&pair.value);
            }
            syn::Meta::Path(_) => return,
        };
        let buffer = TokenBuffer::new2(tokens);
        self.scan.has_path_attribute |= meta == "cfg_attr" && sets_path(buffer.begin());
        self.scan.has_unsafe |= meta == "unsafe";
        self.tokens(buffer.begin(), &[]);
        self.strings(buffer.begin());
    }

    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.scan.idents.insert(plain(ident));
    }

    fn visit_expr_unsafe(&mut self, item: &'ast syn::ExprUnsafe) {
        self.scan.has_unsafe = true;
        visit::visit_expr_unsafe(self, item);
    }

    fn visit_signature(&mut self, item: &'ast syn::Signature) {
        self.scan.has_unsafe |= item.unsafety.is_some();
        visit::visit_signature(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.scan.has_unsafe |= item.unsafety.is_some();
        visit::visit_item_impl(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.scan.has_unsafe |= item.unsafety.is_some();
        visit::visit_item_trait(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.scan.has_unsafe = true;
        visit::visit_item_foreign_mod(self, item);
    }
}

/// The identifier without `r#`.
fn plain(ident: &syn::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

/// Behind two colons, if they stand here.
fn double_colon(cursor: Cursor<'_>) -> Option<Cursor<'_>> {
    let (first, after) = cursor.punct()?;
    let (second, after) = after.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(after)
}

/// `path = "..."` within a `cfg_attr`.
fn sets_path(mut cursor: Cursor<'_>) -> bool {
    while let Some((_, after)) = cursor.token_tree() {
        let named = cursor.ident().is_some_and(|(ident, _)| ident == "path");
        if named && after.punct().is_some_and(|(punct, _)| punct.as_char() == '=') {
            return true;
        }
        cursor = after;
    }
    false
}

/// `#[test]`, `#[cfg(test)]` or `#[cfg(all(test, ...))]`; not what `any` or `not` may also ship.
fn is_test_only(attribute: &syn::Attribute) -> bool {
    if attribute.path().segments.last().is_some_and(|last| last.ident == "test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let condition = list.tokens.to_string().replace(' ', "");
    list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::ForeignMod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::TraitAlias(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
