// What the stand-in remembers, and CUDA's rules of stream capture. See fake_cuda.cpp.
#pragma once
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#define EXP extern "C" __attribute__((visibility("default")))
#define LOCK std::lock_guard<std::recursive_mutex> lock_(M)

inline std::recursive_mutex M;

struct Node {
    std::string kind, name;
    long a, b, c;
    int stream;
};

struct Capture {
    unsigned long long id;
    int mode;
    int tid;
    void* origin;
    std::vector<Node> nodes;
    bool invalid = false;
    std::string why;
    std::set<void*> streams;
    std::set<void*> unjoined;
};

struct Stream {
    int num;
    Capture* cap = nullptr;
};

struct Event {
    Capture* cap = nullptr;
    void* stream = nullptr;
    bool recorded = false;
};

struct Graph {
    std::vector<Node> nodes;
};

inline std::unordered_map<void*, Stream> streams;
inline std::unordered_map<void*, Event> events;
inline std::map<char*, size_t> dev, pinned;
inline std::unordered_map<const void*, std::string> kernels;
inline std::vector<std::string> log_;
inline std::vector<std::string> violations;
inline bool logging = false;
inline size_t dev_bytes = 0, dev_peak = 0;
inline int n_streams = 0;
inline unsigned long long next_cap = 1;
inline std::vector<Capture*> active;
inline thread_local int tmode = cudaStreamCaptureModeGlobal;
inline thread_local cudaError_t last_error = cudaSuccess;
inline std::map<std::string, long> counts;

inline int tid() { return (int)syscall(SYS_gettid); }
inline void say(const std::string& s) {
    if (logging)
        log_.push_back(std::to_string(tid()) + " " + s);
}

inline cudaError_t fail(cudaError_t e) {
    last_error = e;
    return e;
}

inline void violate(const std::string& s) {
    violations.push_back(std::to_string(tid()) + " " + s);
    say("VIOLATION " + s);
}

inline Stream& stream_of(void* s) {
    auto it = streams.find(s);
    if (it == streams.end()) {
        Stream n;
        n.num = s ? ++n_streams : 0;
        streams[s] = n;
        return streams[s];
    }
    return it->second;
}

// An "unsafe" call: prohibited by a capture of this thread that isn't relaxed, or a global one
// elsewhere.
inline bool unsafe(const char* what) {
    if (tmode == cudaStreamCaptureModeRelaxed)
        return false;
    for (auto* c : active) {
        if (c->mode == cudaStreamCaptureModeGlobal && tmode == cudaStreamCaptureModeGlobal) {
            violate(std::string("unsafe call during a global capture: ") + what);
            c->invalid = true;
            c->why = what;
            return true;
        }
        if (c->tid == tid() && c->mode != cudaStreamCaptureModeRelaxed) {
            violate(std::string("unsafe call in the capturing thread: ") + what);
            c->invalid = true;
            c->why = what;
            return true;
        }
    }
    return false;
}

inline cudaError_t add(void* stream, const char* kind, const std::string& name, long a = 0,
                       long b = 0, long c = 0) {
    Stream& s = stream_of(stream);
    counts[kind]++;
    if (s.cap) {
        s.cap->nodes.push_back({kind, name, a, b, c, s.num});
        if (stream != s.cap->origin)
            s.cap->unjoined.insert(stream);
        say(std::string("CAP ") + kind + " s" + std::to_string(s.num) + " " + name);
    } else
        say(std::string(kind) + " s" + std::to_string(s.num) + " " + name);
    return cudaSuccess;
}

inline bool in(std::map<char*, size_t>& m, const void* p) {
    auto it = m.upper_bound((char*)p);
    if (it == m.begin())
        return false;
    --it;
    return (char*)p < it->first + it->second;
}
