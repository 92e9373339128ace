// A simulated accelerator for PyTorch, on its PrivateUse1 key: this file registers what the headers define.
//
// heap.h     memory with a capacity, and its figures
// runtime.h  devices and their allocator
// kernels.h  operators
#include "kernels.h"

#include <torch/library.h>

namespace simulated {

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

const bool kIsRegistered = [] {
  c10::SetAllocator(kType, &allocator());
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

// Each way's number and bytes, then the number of kernels.
std::vector<int64_t> counters() {
  std::vector<int64_t> figures;
  for (const Copies& way : copies) {
    figures.push_back(way.number);
    figures.push_back(way.bytes);
  }
  figures.push_back(kernels);
  return figures;
}

void reset_counters() {
  for (Copies& way : copies) {
    way.number = 0;
    way.bytes = 0;
  }
  kernels = 0;
}

}  // namespace simulated

using namespace simulated;

TORCH_LIBRARY(simulated, library) {
  library.def("counters() -> int[]", &counters);
  library.def("reset_counters() -> ()", &reset_counters);
  library.def("capacity(int device) -> int", [](int64_t device) { return heap_of(device).capacity(); });
  library.def("set_capacity(int device, int size) -> ()", [](int64_t device, int64_t size) {
    heap_of(device).set_capacity(size);
  });
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&compute_on_host>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &simulated::empty);
  library.impl("empty_strided", &simulated::empty_strided);
  library.impl("resize_", &simulated::resize_);
  library.impl("view", &simulated::view);
  library.impl("_reshape_alias", &reshape_alias);
  library.impl("as_strided", &simulated::as_strided);
  library.impl("unfold", &simulated::unfold);
  library.impl("view_as_real", &simulated::view_as_real);
  library.impl("view_as_complex", &simulated::view_as_complex);
  library.impl("set_.source_Tensor", &set_to_tensor);
  library.impl("set_.source_Storage", &set_to_storage);
  library.impl("set_.source_Storage_storage_offset", &set_to_part);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &local_scalar);
  library.impl("convolution_overrideable", &simulated::convolution);
  library.impl("_thnn_fused_lstm_cell", &simulated::lstm_cell);
  library.impl("_thnn_fused_gru_cell", &simulated::gru_cell);
  library.impl("_fused_sdp_choice", &attention_choice);
}

// A copy does itself what a tensor says is still to be done to its elements; to resolve that first would take a copy.
TORCH_LIBRARY_IMPL(aten, Negative, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, Conjugate, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
