// The memory of one simulated device: a capacity, blocks that are in use, and a cache of blocks that were.
//
// It behaves as PyTorch's allocator for CUDA does: sizes are rounded up, what is freed waits for the next block of its
// size and stays reserved, and the cache is emptied before memory is said to have run out. The bytes are the host's, and
// those that nobody may rely on are all ones: NaN, or -1.
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace simulated {

struct HeapFigures {
  int64_t allocated = 0, peak_allocated = 0, reserved = 0, peak_reserved = 0;
  int64_t allocations = 0, frees = 0, retries = 0, out_of_memory = 0;
};

class Heap {
 public:
  // A block of at least `wanted` bytes; raises OutOfMemoryError, in words like those of CUDA.
  void* allocate(size_t wanted, int device) {
    const int64_t size = rounded(wanted);
    const std::lock_guard lock(mutex_);
    void* block = from_cache(size);
    if (block == nullptr) {
      block = from_system(wanted, size, device);
    }
    std::memset(block, 0xff, size);
    sizes_[block] = size;
    figures_.allocations++;
    figures_.allocated += size;
    figures_.peak_allocated = std::max(figures_.peak_allocated, figures_.allocated);
    return block;
  }

  void free(void* block) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(block);
    TORCH_INTERNAL_ASSERT(found != sizes_.end(), "a block is freed that is not in use");
    const int64_t size = found->second;
    sizes_.erase(found);
    std::memset(block, 0xff, size);
    cache_[size].push_back(block);
    figures_.frees++;
    figures_.allocated -= size;
  }

  void empty_cache() {
    const std::lock_guard lock(mutex_);
    release_cache();
  }

  void set_capacity(int64_t capacity) {
    const std::lock_guard lock(mutex_);
    release_cache();
    capacity_ = capacity;
  }

  void reset_peaks() {
    const std::lock_guard lock(mutex_);
    figures_.peak_allocated = figures_.allocated;
    figures_.peak_reserved = figures_.reserved;
  }

  HeapFigures figures() {
    const std::lock_guard lock(mutex_);
    return figures_;
  }

  int64_t capacity() {
    const std::lock_guard lock(mutex_);
    return capacity_;
  }

 private:
  static constexpr size_t kGranularity = 512;

  static int64_t rounded(size_t size) {
    TORCH_CHECK(size <= INT64_MAX - kGranularity, "a block of ", size, " bytes cannot exist");
    return static_cast<int64_t>((size + kGranularity - 1) / kGranularity * kGranularity);
  }

  void* from_cache(int64_t size) {
    const auto found = cache_.find(size);
    if (found == cache_.end() || found->second.empty()) {
      return nullptr;
    }
    void* block = found->second.back();
    found->second.pop_back();
    return block;
  }

  void* from_system(size_t wanted, int64_t size, int device) {
    if (size > capacity_ - figures_.reserved) {
      figures_.retries++;
      release_cache();
    }
    if (size > capacity_ - figures_.reserved) {
      figures_.out_of_memory++;
      TORCH_CHECK_WITH(
          OutOfMemoryError, false, "simulated device out of memory. Tried to allocate ", wanted, " bytes. Device ",
          device, " has a total capacity of ", capacity_, " bytes of which ",
          std::max<int64_t>(0, capacity_ - figures_.reserved), " bytes are free.");
    }
    void* block = std::aligned_alloc(kGranularity, size);
    TORCH_CHECK_WITH(OutOfMemoryError, block != nullptr, "the host of the simulated device is out of memory");
    figures_.reserved += size;
    figures_.peak_reserved = std::max(figures_.peak_reserved, figures_.reserved);
    return block;
  }

  void release_cache() {
    for (auto& [size, blocks] : cache_) {
      for (void* block : blocks) {
        std::free(block);
        figures_.reserved -= size;
      }
    }
    cache_.clear();
  }

  std::mutex mutex_;
  int64_t capacity_ = 0;
  HeapFigures figures_;
  std::unordered_map<void*, int64_t> sizes_;
  std::unordered_map<int64_t, std::vector<void*>> cache_;
};

}  // namespace simulated
