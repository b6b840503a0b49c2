//! Keeps the variables of cells between them.
//!
//! evcxr puts a module of this name and interface into the source of every cell, so that the compiler makes a hash map
//! anew for each. Set-up compiles this crate once, and cells link to it. What does not depend on a variable's type is in
//! functions that are not generic, so that a cell holds no more than a call of them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// Begins the line that tells of a variable whose type was defined anew.
pub const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
/// The line that tells of an error that left a cell.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

/// The variables by name.
#[derive(Default)]
pub struct VariableStore {
    variables: HashMap<String, Box<dyn Any>>,
}

impl VariableStore {
    /// A store without variables.
    #[inline(never)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a variable.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// False, with a line to evcxr, when the variable is there and has another type by now.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Gives a variable out.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast() {
            Ok(value) => *value,
            // Not after `check_variable`.
            Err(_) => changed(name),
        }
    }

    /// The value of this name, made when there is none.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        if !self.variables.contains_key(name) {
            self.put(name, Box::new(Arc::new(create())));
        }
        match self.variables.get(name).and_then(|value| value.downcast_ref::<Arc<T>>()) {
            Some(value) => Arc::clone(value),
            None => changed(name),
        }
    }

    /// Takes over all variables of another store.
    #[inline(never)]
    pub fn merge(&mut self, mut other: VariableStore) {
        self.variables.extend(other.variables.drain());
    }

    #[inline(never)]
    #[doc(hidden)]
    pub fn put(&mut self, name: &str, value: Box<dyn Any>) {
        self.variables.insert(name.to_owned(), value);
    }

    #[inline(never)]
    #[doc(hidden)]
    pub fn check(&mut self, name: &str, kind: TypeId) -> bool {
        let same = self.variables.get(name).is_none_or(|value| (**value).type_id() == kind);
        if !same {
            eprintln!("The type of the variable {name} was redefined, so was lost.");
            println!("{VARIABLE_CHANGED_TYPE}{name}");
        }
        same
    }

    #[inline(never)]
    #[doc(hidden)]
    pub fn take(&mut self, name: &str) -> Box<dyn Any> {
        self.variables.remove(name).unwrap_or_else(|| panic!("the variable `{name}` has gone missing"))
    }
}

#[inline(never)]
fn changed(name: &str) -> ! {
    panic!("the variable `{name}` has changed its type")
}

/// A store that outlives the cell.
#[inline(never)]
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::default())
}
