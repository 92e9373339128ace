//! wasi-nn for core modules: safe functions for those of `wasi_ephemeral_nn`.

use std::fmt;
use std::mem::size_of_val;

/// The host refused a call of a function; it prints the reason itself.
#[derive(Debug)]
pub struct Error {
    function: &'static str,
    number: u32,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let name = match self.number {
            1 => "invalid argument",
            2 => "invalid encoding",
            3 => "missing memory",
            4 => "busy",
            5 => "runtime error",
            6 => "unsupported operation",
            7 => "too large",
            8 => "not found",
            _ => "unknown error",
        };
        write!(formatter, "{}: {name}", self.function)
    }
}

impl std::error::Error for Error {}

/// The elements that tensors can have here; wasi-nn also has FP16, with the number 0.
pub trait Element: Copy {
    const NUMBER: u8;
}

macro_rules! elements {
    ($($type:ty = $number:literal)*) => { $(impl Element for $type { const NUMBER: u8 = $number; })* };
}
elements! { f32 = 1 f64 = 2 u8 = 3 i32 = 4 i64 = 5 }

/// A model of the host.
pub struct Graph(u32);

impl Graph {
    /// Gets the model that the host offers under a name.
    pub fn load_by_name(name: &str) -> Result<Graph, Error> {
        let mut graph = 0;
        let number = unsafe { raw::load_by_name(name.as_ptr(), name.len(), &mut graph) };
        done("load_by_name", number).map(|()| Graph(graph))
    }

    /// Makes a context, which holds the inputs and outputs of computations.
    pub fn init_execution_context(&self) -> Result<Context, Error> {
        let mut context = 0;
        let number = unsafe { raw::init_execution_context(self.0, &mut context) };
        done("init_execution_context", number).map(|()| Context(context))
    }
}

/// Inputs and outputs of a model, by their positions.
pub struct Context(u32);

impl Context {
    /// Sets an input, which stays set; the host copies the elements.
    pub fn set_input<T: Element>(&self, index: u32, shape: &[u32], elements: &[T]) -> Result<(), Error> {
        let tensor = raw::Tensor {
            shape: shape.as_ptr(),
            rank: shape.len(),
            element: T::NUMBER,
            data: elements.as_ptr().cast(),
            size: size_of_val(elements),
        };
        done("set_input", unsafe { raw::set_input(self.0, index, &tensor) })
    }

    pub fn compute(&self) -> Result<(), Error> {
        done("compute", unsafe { raw::compute(self.0) })
    }

    /// Copies an output into a buffer; returns the number of elements.
    pub fn get_output<T: Element>(&self, index: u32, buffer: &mut [T]) -> Result<usize, Error> {
        let (size, mut written) = (size_of_val(buffer), 0);
        let number = unsafe { raw::get_output(self.0, index, buffer.as_mut_ptr().cast(), size, &mut written) };
        done("get_output", number).map(|()| written / std::mem::size_of::<T>())
    }
}

fn done(function: &'static str, number: u32) -> Result<(), Error> {
    match number {
        0 => Ok(()),
        _ => Err(Error { function, number }),
    }
}

mod raw {
    #[repr(C)]
    pub struct Tensor {
        pub shape: *const u32,
        pub rank: usize,
        pub element: u8,
        pub data: *const u8,
        pub size: usize,
    }

    #[link(wasm_import_module = "wasi_ephemeral_nn")]
    extern "C" {
        pub fn load_by_name(name: *const u8, length: usize, graph: *mut u32) -> u32;
        pub fn init_execution_context(graph: u32, context: *mut u32) -> u32;
        pub fn set_input(context: u32, index: u32, tensor: *const Tensor) -> u32;
        pub fn compute(context: u32) -> u32;
        pub fn get_output(context: u32, index: u32, buffer: *mut u8, size: usize, written: *mut usize) -> u32;
    }
}
