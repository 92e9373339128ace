// What PyTorch asks of any accelerator: which devices there are, which of them is the current one, and their allocator.
//
// A device has no streams: work is done when the call returns.
#pragma once

#include "heap.h"

#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <array>
#include <unordered_set>

namespace simulated {

constexpr auto kType = c10::DeviceType::PrivateUse1;
constexpr int kDevices = 2;

inline thread_local c10::DeviceIndex current_device = 0;

// Never destroyed: tensors may outlive whatever is destroyed at the end of the process.
inline Heap& heap_of(int64_t device) {
  static auto& heaps = *new std::array<Heap, kDevices>;
  TORCH_CHECK(device >= 0 && device < kDevices, "there is no simulated device ", device);
  return heaps[device];
}

// What a pointer of the allocator refers to.
struct Block {
  Heap& heap;
  void* data;
};

inline void free_block(void* context) {
  if (auto* block = static_cast<Block*>(context)) {
    block->heap.free(block->data);
    delete block;
  }
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    const c10::Device device(kType, current_device);
    if (size == 0) {
      return {nullptr, nullptr, &free_block, device};
    }
    Heap& heap = heap_of(current_device);
    auto* block = new Block{heap, heap.allocate(size, current_device)};
    return {block->data, block, &free_block, device};
  }

  void copy_data(void* target, const void* source, size_t size) const override { std::memcpy(target, source, size); }
  bool initialized() override { return true; }
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex device) override { heap_of(device).reset_peaks(); }

  void emptyCache(c10::MempoolId_t) override {
    for (int device = 0; device < kDevices; ++device) {
      heap_of(device).empty_cache();
    }
  }

  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    const HeapFigures heap = heap_of(device).figures();
    c10::CachingDeviceAllocator::DeviceStats stats;
    set(stats.allocation, heap.allocations - heap.frees, 0);
    stats.allocation[0].allocated = heap.allocations;
    stats.allocation[0].freed = heap.frees;
    set(stats.allocated_bytes, heap.allocated, heap.peak_allocated);
    set(stats.active_bytes, heap.allocated, heap.peak_allocated);
    set(stats.reserved_bytes, heap.reserved, heap.peak_reserved);
    stats.num_alloc_retries = heap.retries;
    stats.num_ooms = heap.out_of_memory;
    return stats;
  }

  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) override {
    const int64_t total = heap_of(device).capacity();
    return {std::max<int64_t>(0, total - heap_of(device).figures().reserved), total};
  }

 private:
  static void set(c10::CachingAllocator::StatArray& stats, int64_t current, int64_t peak) {
    stats[0].current = current;
    stats[0].peak = peak;
  }
};

inline Allocator& allocator() {
  static auto& the_allocator = *new Allocator;
  return the_allocator;
}

// Memory of the host that counts as pinned. Any would do for a device that copies with the host's processor.
class PinnedAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    auto* block = new c10::DataPtr(c10::GetCPUAllocator()->allocate(size));
    const std::lock_guard lock(mutex_);
    blocks_.insert(block->get());
    return {block->get(), block, &free_pinned, c10::DeviceType::CPU};
  }

  void copy_data(void* target, const void* source, size_t size) const override { std::memcpy(target, source, size); }

  bool has(const void* data) {
    const std::lock_guard lock(mutex_);
    return blocks_.count(data) > 0;
  }

  void forget(const void* data) {
    const std::lock_guard lock(mutex_);
    blocks_.erase(data);
  }

 private:
  static void free_pinned(void* context);

  std::mutex mutex_;
  std::unordered_set<const void*> blocks_;
};

inline PinnedAllocator& pinned() {
  static auto& the_allocator = *new PinnedAllocator;
  return the_allocator;
}

inline void PinnedAllocator::free_pinned(void* context) {
  auto* block = static_cast<c10::DataPtr*>(context);
  pinned().forget(block->get());
  delete block;
}

inline void use_device(c10::DeviceIndex device) {
  TORCH_CHECK(device < kDevices, "there is no simulated device ", int(device), "; there are ", kDevices);
  if (device >= 0) {
    current_device = device;
  }
}

inline c10::DeviceIndex exchange_device(c10::DeviceIndex device) {
  const auto previous = current_device;
  use_device(device);
  return previous;
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kType; }
  c10::Device getDevice() const override { return {kType, current_device}; }
  void setDevice(c10::Device device) const override { use_device(device.index()); }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.index() >= 0) {
      current_device = device.index();
    }
  }
  c10::Device exchangeDevice(c10::Device device) const override { return {kType, exchange_device(device.index())}; }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }

  c10::Stream getStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream getNewStream(c10::Device device, int) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(c10::DeviceIndex) const override {}
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  c10::DeviceIndex getCurrentDevice() const override { return current_device; }
  void setCurrentDevice(c10::DeviceIndex device) const override { use_device(device); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override { return exchange_device(device); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override { return exchange_device(device); }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned(); }
  bool isPinnedPtr(const void* data) const override { return pinned().has(data); }
};

}  // namespace simulated
