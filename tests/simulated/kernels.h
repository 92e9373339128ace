// Operators: memory and views of it are the device's own, copies are counted, and the CPU computes everything else.
#pragma once

#include "runtime.h"

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>

#include <atomic>

namespace simulated {

enum Way { kHostToDevice, kDeviceToHost, kDeviceToDevice, kWithinDevice, kWays };

// Copies along one way that a caller of PyTorch asked for.
struct Copies {
  std::atomic<int64_t> number = 0, bytes = 0;
};
inline std::array<Copies, kWays> copies;
inline std::atomic<int64_t> kernels = 0;

// While the CPU computes for the device, copies are part of the simulation.
inline thread_local int in_kernel = 0;
struct InKernel {
  InKernel() { in_kernel++; }
  ~InKernel() { in_kernel--; }
};

inline void count(Way way, const at::Tensor& copied) {
  if (in_kernel == 0) {
    copies[way].number++;
    copies[way].bytes += static_cast<int64_t>(copied.nbytes());
  }
}

inline bool is_ours(const at::Tensor& tensor) {
  return tensor.device().type() == kType;
}

// The same memory, as a tensor that the CPU can compute with.
inline at::Tensor on_host(const at::Tensor& tensor) {
  if (!tensor.defined() || !is_ours(tensor)) {
    return tensor;
  }
  auto same = at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(at::kCPU));
  same._set_conj(tensor.is_conj());
  same._set_neg(tensor.is_neg());
  return same;
}

inline std::optional<at::Tensor> on_host(const std::optional<at::Tensor>& tensor) {
  return tensor ? std::optional(on_host(*tensor)) : std::nullopt;
}

// --- memory ---

using Sizes = c10::IntArrayRef;
const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

inline at::Tensor empty(
    Sizes sizes, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device> device,
    std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_generic(sizes, &allocator(), kKeys, c10::dtype_or_default(dtype), format);
}

inline at::Tensor empty_strided(
    Sizes sizes, Sizes strides, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_strided_generic(sizes, strides, &allocator(), kKeys, c10::dtype_or_default(dtype));
}

inline const at::Tensor& resize_(const at::Tensor& tensor, Sizes sizes, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(tensor.device());
  // A storage grows by its own allocator, so that this is right for memory of any device that the CPU can copy.
  at::native::resize_impl_cpu_(tensor.unsafeGetTensorImpl(), sizes, std::nullopt);
  if (format) {
    tensor.unsafeGetTensorImpl()->empty_tensor_restride(*format);
  }
  return tensor;
}

// --- views ---

inline at::Tensor view(const at::Tensor& tensor, Sizes sizes) {
  return at::native::view(tensor, sizes);
}

inline at::Tensor reshape_alias(const at::Tensor& tensor, Sizes sizes, Sizes strides) {
  return at::native::_reshape_alias(tensor, sizes, strides);
}

inline at::Tensor as_strided(const at::Tensor& tensor, Sizes sizes, Sizes strides, std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(tensor, sizes, strides, offset);
}

inline at::Tensor unfold(const at::Tensor& tensor, int64_t dimension, int64_t size, int64_t step) {
  return at::native::unfold(tensor, dimension, size, step);
}

inline at::Tensor view_as_real(const at::Tensor& tensor) {
  return at::native::view_as_real(tensor);
}

inline at::Tensor view_as_complex(const at::Tensor& tensor) {
  return at::native::view_as_complex(tensor);
}

inline at::Tensor& set_to_tensor(at::Tensor& tensor, const at::Tensor& source) {
  return at::native::set_tensor_(tensor, source);
}

inline at::Tensor& set_to_storage(at::Tensor& tensor, at::Storage storage) {
  return at::native::set_(tensor, storage);
}

inline at::Tensor& set_to_part(at::Tensor& tensor, at::Storage storage, int64_t offset, Sizes sizes, Sizes strides) {
  at::native::checkSetStorage(tensor, storage, offset, sizes, strides);
  tensor.unsafeGetTensorImpl()->set_storage_offset(offset);
  const auto wanted = strides.data() == nullptr ? at::OptionalIntArrayRef() : at::OptionalIntArrayRef(strides);
  at::native::resize_impl_cpu_(tensor.unsafeGetTensorImpl(), sizes, wanted);
  return tensor;
}

// --- copies ---

inline at::Tensor copy_from(const at::Tensor& source, const at::Tensor& target, bool) {
  if (!is_ours(source)) {
    count(kHostToDevice, target);
  } else if (!is_ours(target)) {
    count(kDeviceToHost, source);
  } else {
    count(source.device() == target.device() ? kWithinDevice : kDeviceToDevice, target);
  }
  on_host(target).copy_(on_host(source));
  return target;
}

inline at::Tensor copy_from_and_resize(const at::Tensor& source, const at::Tensor& target) {
  const_cast<at::Tensor&>(target).resize_(source.sizes());
  return copy_from(source, target, false);
}

inline at::Scalar local_scalar(const at::Tensor& tensor) {
  count(kDeviceToHost, tensor);
  return at::_local_scalar_dense(on_host(tensor));
}

// --- computing ---

inline void compute_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const InKernel scope;
  kernels++;
  at::native::cpu_fallback(op, stack);
}

inline at::Tensor convolution(
    const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias, Sizes stride,
    Sizes padding, Sizes dilation, bool transposed, Sizes output_padding, int64_t groups) {
  const InKernel scope;
  kernels++;
  return at::convolution(
             on_host(input), on_host(weight), on_host(bias), stride, padding, dilation, transposed, output_padding,
             groups)
      .to(input.device());
}

// PyTorch takes these for fused kernels that each accelerator has.

inline at::Tensor gates(const at::Tensor& product, const std::optional<at::Tensor>& bias) {
  return bias && bias->defined() ? product + *bias : product;
}

inline std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(
    const at::Tensor& input, const at::Tensor& hidden, const at::Tensor& cell,
    const std::optional<at::Tensor>& input_bias, const std::optional<at::Tensor>& hidden_bias) {
  const at::Tensor all = gates(input, input_bias) + gates(hidden, hidden_bias);
  const auto each = all.chunk(4, 1);  // in, forget, candidate, out
  const at::Tensor next = each[1].sigmoid() * cell + each[0].sigmoid() * each[2].tanh();
  return {each[3].sigmoid() * next.tanh(), next, all};
}

inline std::tuple<at::Tensor, at::Tensor> gru_cell(
    const at::Tensor& input, const at::Tensor& hidden, const at::Tensor& state,
    const std::optional<at::Tensor>& input_bias, const std::optional<at::Tensor>& hidden_bias) {
  const auto from_input = gates(input, input_bias).chunk(3, 1);  // reset, update, candidate
  const auto from_hidden = gates(hidden, hidden_bias).chunk(3, 1);
  const at::Tensor reset = (from_input[0] + from_hidden[0]).sigmoid();
  const at::Tensor update = (from_input[1] + from_hidden[1]).sigmoid();
  const at::Tensor candidate = (from_input[2] + reset * from_hidden[2]).tanh();
  return {(state - candidate) * update + candidate, candidate};
}

inline int64_t attention_choice(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, double, bool,
    std::optional<double>, bool) {
  return 0;  // plain operators
}

}  // namespace simulated
