// A GPU that isn't there: a stand-in for CUDA's runtime (this file), cuBLAS and cuDNN
// (fake_cublas.cpp) and driver (fake_driver.c), loaded before torch by LD_PRELOAD.
//
// torch's dispatcher, caching allocator, autograd threads and stream capture run as they are, and
// so does Triton's compiler. Each call is counted, logged if asked, and held to CUDA's rules of
// stream capture; what breaks them is a violation. Memory is the host's, so copies are real.
// Kernels do nothing: values, bits and speed mean nothing here.
//
// The functions named fg_... are for the tests: see stand_in.py; fg_log(1) and fg_dump(path) show
// every call, for debugging. FG_MEM is the size of the memory in bytes, by default that of an H100.
#include "state.h"
#include <sys/mman.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// for the tests
EXP void fg_log(int on) {
    LOCK;
    logging = on;
}

EXP void fg_clear() {
    LOCK;
    log_.clear();
    violations.clear();
    counts.clear();
    dev_peak = dev_bytes;
}

EXP void fg_dump(const char* path) {
    LOCK;
    FILE* f = fopen(path, "w");
    for (auto& s : log_)
        fprintf(f, "%s\n", s.c_str());
    fclose(f);
}

EXP int fg_violations(const char* path) {
    LOCK;
    FILE* f = fopen(path, "w");
    for (auto& s : violations)
        fprintf(f, "%s\n", s.c_str());
    fclose(f);
    return violations.size();
}

EXP long fg_count(const char* kind) {
    LOCK;
    return counts[kind];
}

EXP long fg_bytes(int peak) {
    LOCK;
    return peak ? dev_peak : dev_bytes;
}

// device
EXP cudaError_t cudaGetDeviceCount(int* n) {
    *n = 1;
    return cudaSuccess;
}

EXP cudaError_t cudaGetDevice(int* d) {
    *d = 0;
    return cudaSuccess;
}

EXP cudaError_t cudaSetDevice(int) { return cudaSuccess; }
EXP cudaError_t cudaDriverGetVersion(int* v) {
    *v = 13000;
    return cudaSuccess;
}

EXP cudaError_t cudaRuntimeGetVersion(int* v) {
    *v = 13000;
    return cudaSuccess;
}

EXP cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
    memset(p, 0, sizeof *p);
    strcpy(p->name, "NVIDIA H100 80GB HBM3");
    p->major = 9;
    p->minor = 0;
    p->multiProcessorCount = 132;
    p->totalGlobalMem = 81559ul << 20;
    p->sharedMemPerBlock = 49152;
    p->sharedMemPerBlockOptin = 232448;
    p->sharedMemPerMultiprocessor = 233472;
    p->regsPerBlock = 65536;
    p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsPerMultiProcessor = 2048;
    p->maxBlocksPerMultiProcessor = 32;
    p->maxThreadsDim[0] = 1024;
    p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 2147483647;
    p->maxGridSize[1] = 65535;
    p->maxGridSize[2] = 65535;
    p->l2CacheSize = 50 << 20;
    p->memoryBusWidth = 5120;
    p->concurrentKernels = 1;
    p->unifiedAddressing = 1;
    p->managedMemory = 1;
    p->textureAlignment = 512;
    p->clusterLaunch = 1;
    p->asyncEngineCount = 3;
    p->canMapHostMemory = 1;
    return cudaSuccess;
}

EXP cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int) {
    switch ((int)a) {
        case cudaDevAttrComputeCapabilityMajor: *v = 9; break;
        case cudaDevAttrComputeCapabilityMinor: *v = 0; break;
        case cudaDevAttrMultiProcessorCount: *v = 132; break;
        case cudaDevAttrMaxThreadsPerBlock: *v = 1024; break;
        case cudaDevAttrMaxThreadsPerMultiProcessor: *v = 2048; break;
        case cudaDevAttrWarpSize: *v = 32; break;
        case cudaDevAttrMaxSharedMemoryPerBlock: *v = 49152; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *v = 232448; break;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *v = 233472; break;
        case cudaDevAttrMaxGridDimX: *v = 2147483647; break;
        case cudaDevAttrMaxGridDimY:
        case cudaDevAttrMaxGridDimZ: *v = 65535; break;
        case cudaDevAttrMaxBlockDimX:
        case cudaDevAttrMaxBlockDimY: *v = 1024; break;
        case cudaDevAttrMaxBlockDimZ: *v = 64; break;
        case cudaDevAttrMaxRegistersPerBlock: *v = 65536; break;
        case cudaDevAttrL2CacheSize: *v = 50 << 20; break;
        case cudaDevAttrCooperativeLaunch: *v = 1; break;
        case cudaDevAttrMemoryPoolsSupported: *v = 1; break;
        default: *v = 0;
    }
    return cudaSuccess;
}

EXP cudaError_t cudaDeviceCanAccessPeer(int* v, int, int) {
    *v = 0;
    return cudaSuccess;
}

EXP cudaError_t cudaDeviceGetStreamPriorityRange(int* lo, int* hi) {
    if (lo)
        *lo = 0;
    if (hi)
        *hi = -5;
    return cudaSuccess;
}

EXP cudaError_t cudaDeviceSynchronize() {
    LOCK;
    if (unsafe("cudaDeviceSynchronize"))
        return fail(cudaErrorStreamCaptureUnsupported);
    counts["device sync"]++;
    say("DEVICE SYNC");
    return cudaSuccess;
}

EXP cudaError_t cudaGetLastError() {
    auto e = last_error;
    last_error = cudaSuccess;
    return e;
}

EXP cudaError_t cudaPeekAtLastError() { return last_error; }
EXP const char* cudaGetErrorName(cudaError_t e) {
    return e == cudaErrorStreamCaptureUnsupported   ? "cudaErrorStreamCaptureUnsupported"
           : e == cudaErrorStreamCaptureInvalidated ? "cudaErrorStreamCaptureInvalidated"
           : e == cudaErrorStreamCaptureIsolation   ? "cudaErrorStreamCaptureIsolation"
           : e == cudaErrorMemoryAllocation         ? "cudaErrorMemoryAllocation"
                                                    : "cudaErrorOther";
}

EXP const char* cudaGetErrorString(cudaError_t e) {
    return e == cudaErrorMemoryAllocation ? "out of memory" : cudaGetErrorName(e);
}

EXP cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* m) {
    int o = tmode;
    tmode = *m;
    *m = (cudaStreamCaptureMode)o;
    return cudaSuccess;
}

// memory
static size_t LIMIT = getenv("FG_MEM") ? strtoul(getenv("FG_MEM"), 0, 10) : (81559ul << 20);
EXP cudaError_t cudaMalloc(void** p, size_t n) {
    LOCK;
    if (unsafe("cudaMalloc"))
        return fail(cudaErrorStreamCaptureUnsupported);
    if (dev_bytes + n > LIMIT)
        return fail(cudaErrorMemoryAllocation);
    void* q = mmap(0, n + (2 << 20), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (q == MAP_FAILED)
        return fail(cudaErrorMemoryAllocation);
    char* a = (char*)(((size_t)q + (2 << 20) - 1) & ~((size_t)(2 << 20) - 1));
    dev[a] = n;
    dev_bytes += n;
    if (dev_bytes > dev_peak)
        dev_peak = dev_bytes;
    counts["cudaMalloc"]++;
    say("cudaMalloc " + std::to_string(n));
    *p = a;
    return cudaSuccess;
}

EXP cudaError_t cudaFree(void* p) {
    LOCK;
    if (!p)
        return cudaSuccess;
    if (unsafe("cudaFree"))
        return fail(cudaErrorStreamCaptureUnsupported);
    auto it = dev.find((char*)p);
    if (it != dev.end()) {
        dev_bytes -= it->second;
        munmap(p, it->second);
        dev.erase(it);
    }
    counts["cudaFree"]++;
    say("cudaFree");
    return cudaSuccess;
}

EXP cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) {
    LOCK;
    if (unsafe("cudaHostAlloc"))
        return fail(cudaErrorStreamCaptureUnsupported);
    if (posix_memalign(p, 4096, n ? n : 1))
        return fail(cudaErrorMemoryAllocation);
    memset(*p, 0, n);
    pinned[(char*)*p] = n;
    counts["cudaHostAlloc"]++;
    return cudaSuccess;
}

EXP cudaError_t cudaFreeHost(void* p) {
    LOCK;
    pinned.erase((char*)p);
    free(p);
    return cudaSuccess;
}

EXP cudaError_t cudaHostRegister(void* p, size_t n, unsigned) {
    LOCK;
    pinned[(char*)p] = n;
    return cudaSuccess;
}

EXP cudaError_t cudaHostUnregister(void* p) {
    LOCK;
    pinned.erase((char*)p);
    return cudaSuccess;
}

EXP cudaError_t cudaMemGetInfo(size_t* f, size_t* t) {
    LOCK;
    *t = LIMIT;
    *f = LIMIT - dev_bytes;
    return cudaSuccess;
}

EXP cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
    LOCK;
    memset(a, 0, sizeof *a);
    if (in(dev, p)) {
        a->type = cudaMemoryTypeDevice;
        a->devicePointer = (void*)p;
    } else if (in(pinned, p)) {
        a->type = cudaMemoryTypeHost;
        a->hostPointer = (void*)p;
        a->devicePointer = (void*)p;
    } else
        a->type = cudaMemoryTypeUnregistered;
    return cudaSuccess;
}

static cudaError_t copy(void* d, const void* s, size_t n, cudaMemcpyKind k, void* stream,
                        bool async) {
    LOCK;
    bool dd = in(dev, d), ds = in(dev, s);
    bool pageable = (!dd && !in(pinned, d)) || (!ds && !in(pinned, s));
    auto place = [&](bool on_device) { return on_device ? "D" : pageable ? "H(pageable)" : "H"; };
    std::string w = std::string(place(dd)) + "<-" + place(ds) + " " + std::to_string(n);
    if (async) {
        Stream& st = stream_of(stream);
        if (st.cap && pageable)
            violate("memcpy of pageable memory in a capture: " + w);
        add(stream, "memcpy", w, n);
        if (st.cap)
            return cudaSuccess;
    } else {
        if (unsafe("cudaMemcpy"))
            return fail(cudaErrorStreamCaptureImplicit);
        counts["sync memcpy"]++;
        say("SYNC memcpy " + w);
    }
    memmove(d, s, n);
    return cudaSuccess;
}

EXP cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k,
                                cudaStream_t st) {
    return copy(d, s, n, k, st, true);
}

EXP cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {
    return copy(d, s, n, k, 0, false);
}

EXP cudaError_t cudaMemcpy2DAsync(void* d, size_t dp, const void* s, size_t sp, size_t w, size_t h,
                                  cudaMemcpyKind k, cudaStream_t st) {
    LOCK;
    bool cap = stream_of(st).cap;
    add(st, "memcpy", "2D " + std::to_string(w * h), w * h);
    if (!cap)
        for (size_t i = 0; i < h; i++)
            memmove((char*)d + i * dp, (char*)s + i * sp, w);
    return cudaSuccess;
}

EXP cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t st) {
    LOCK;
    bool cap = stream_of(st).cap;
    add(st, "memset", std::to_string(n), n);
    if (!cap)
        memset(d, v, n);
    return cudaSuccess;
}

EXP cudaError_t cudaMemset(void* d, int v, size_t n) {
    LOCK;
    if (unsafe("cudaMemset"))
        return fail(cudaErrorStreamCaptureImplicit);
    memset(d, v, n);
    return cudaSuccess;
}

EXP cudaError_t cudaMemcpyToSymbol(const void*, const void*, size_t, size_t, cudaMemcpyKind) {
    return cudaSuccess;
}

EXP cudaError_t cudaGetSymbolAddress(void** p, const void*) {
    static char b[4096];
    *p = b;
    return cudaSuccess;
}

// streams and events
EXP cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned, int) {
    LOCK;
    *s = (cudaStream_t)malloc(64);
    stream_of(*s);
    return cudaSuccess;
}

EXP cudaError_t cudaStreamCreate(cudaStream_t* s) { return cudaStreamCreateWithPriority(s, 0, 0); }
EXP cudaError_t cudaStreamDestroy(cudaStream_t s) {
    LOCK;
    streams.erase(s);
    return cudaSuccess;
}

EXP cudaError_t cudaStreamGetPriority(cudaStream_t, int* p) {
    *p = 0;
    return cudaSuccess;
}

EXP cudaError_t cudaStreamSynchronize(cudaStream_t s) {
    LOCK;
    Stream& st = stream_of(s);
    counts["stream sync"]++;
    if (st.cap) {
        violate("cudaStreamSynchronize of a capturing stream");
        st.cap->invalid = true;
        return fail(cudaErrorStreamCaptureUnsupported);
    }
    if (unsafe("cudaStreamSynchronize"))
        return fail(cudaErrorStreamCaptureUnsupported);
    say("STREAM SYNC s" + std::to_string(st.num));
    return cudaSuccess;
}

EXP cudaError_t cudaStreamQuery(cudaStream_t s) {
    LOCK;
    Stream& st = stream_of(s);
    if (st.cap) {
        violate("cudaStreamQuery of a capturing stream");
        st.cap->invalid = true;
        return fail(cudaErrorStreamCaptureUnsupported);
    }
    return cudaSuccess;
}

EXP cudaError_t cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t, void*, unsigned) {
    LOCK;
    if (stream_of(s).cap)
        violate("callback in a capture");
    return cudaSuccess;
}

EXP cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t, void*) {
    LOCK;
    add(s, "host func", "");
    return cudaSuccess;
}

EXP cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
    LOCK;
    *e = (cudaEvent_t)malloc(64);
    events[*e] = Event();
    return cudaSuccess;
}

EXP cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
EXP cudaError_t cudaEventDestroy(cudaEvent_t e) {
    LOCK;
    events.erase(e);
    return cudaSuccess;
}

EXP cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned f) {
    LOCK;
    Stream& st = stream_of(s);
    Event& ev = events[e];
    ev.recorded = true;
    ev.cap = (f == cudaEventRecordExternal) ? nullptr : st.cap;
    ev.stream = s;
    counts["event record"]++;
    say("event record s" + std::to_string(st.num) + (st.cap ? " (captured)" : ""));
    return cudaSuccess;
}

EXP cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    return cudaEventRecordWithFlags(e, s, 0);
}

EXP cudaError_t cudaEventQuery(cudaEvent_t e) {
    LOCK;
    Event& ev = events[e];
    if (ev.cap) {
        violate("cudaEventQuery of a captured event");
        return fail(cudaErrorCapturedEvent);
    }
    if (unsafe("cudaEventQuery"))
        return fail(cudaErrorStreamCaptureUnsupported);
    return cudaSuccess;
}

EXP cudaError_t cudaEventSynchronize(cudaEvent_t e) {
    LOCK;
    Event& ev = events[e];
    if (ev.cap) {
        violate("cudaEventSynchronize of a captured event");
        return fail(cudaErrorCapturedEvent);
    }
    if (unsafe("cudaEventSynchronize"))
        return fail(cudaErrorStreamCaptureUnsupported);
    counts["event sync"]++;
    say("EVENT SYNC");
    return cudaSuccess;
}

EXP cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) {
    *ms = 1;
    return cudaSuccess;
}

EXP cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned f) {
    LOCK;
    Stream& st = stream_of(s);
    Event& ev = events[e];
    if (!ev.recorded)
        return cudaSuccess;
    counts["wait event"]++;
    if (ev.cap) {
        if (!st.cap) {
            st.cap = ev.cap;
            ev.cap->streams.insert(s);
            say("s" + std::to_string(st.num) + " joins the capture");
        } else if (s == ev.cap->origin)
            ev.cap->unjoined.erase(ev.stream);
    } else if (st.cap && f != cudaEventWaitExternal) {
        violate("a capturing stream waits for an event recorded outside of the capture");
        st.cap->invalid = true;
        return fail(cudaErrorStreamCaptureIsolation);
    }
    say("wait s" + std::to_string(st.num));
    return cudaSuccess;
}

// capture
EXP cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode m) {
    LOCK;
    if (!s) {
        violate("capture of the legacy stream");
        return fail(cudaErrorStreamCaptureUnsupported);
    }
    Stream& st = stream_of(s);
    if (st.cap)
        return fail(cudaErrorIllegalState);
    auto* c = new Capture;
    c->id = next_cap++;
    c->mode = m;
    c->tid = tid();
    c->origin = s;
    st.cap = c;
    active.push_back(c);
    say("BEGIN CAPTURE s" + std::to_string(st.num) + " mode " + std::to_string(m));
    return cudaSuccess;
}

EXP cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) {
    LOCK;
    Stream& st = stream_of(s);
    Capture* c = st.cap;
    if (!c)
        return fail(cudaErrorIllegalState);
    st.cap = nullptr;
    for (void* o : c->streams)
        stream_of(o).cap = nullptr;
    for (size_t i = 0; i < active.size(); i++)
        if (active[i] == c) {
            active.erase(active.begin() + i);
            break;
        }
    for (auto& e : events)
        if (e.second.cap == c) {
            e.second.cap = nullptr;
        }
    if (!c->unjoined.empty()) {
        violate("unjoined work at the end of a capture");
        return fail(cudaErrorStreamCaptureUnjoined);
    }
    if (c->tid != tid() && c->mode != cudaStreamCaptureModeRelaxed) {
        violate("capture ended in another thread");
    }
    if (c->invalid) {
        *g = nullptr;
        say("END CAPTURE invalidated by " + c->why);
        return fail(cudaErrorStreamCaptureInvalidated);
    }
    auto* gr = new Graph;
    gr->nodes = c->nodes;
    *g = (cudaGraph_t)gr;
    say("END CAPTURE " + std::to_string(gr->nodes.size()) + " nodes");
    counts["captures"]++;
    counts["captured nodes"] += gr->nodes.size();
    return cudaSuccess;
}

EXP cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* x) {
    LOCK;
    *x = stream_of(s).cap ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

EXP cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus* x,
                                         unsigned long long* id, cudaGraph_t* g,
                                         const cudaGraphNode_t** d, const cudaGraphEdgeData** e,
                                         size_t* n) {
    LOCK;
    auto* c = stream_of(s).cap;
    *x = c ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    if (id)
        *id = c ? c->id : 0;
    if (g)
        *g = c ? (cudaGraph_t)c : nullptr;
    if (d)
        *d = nullptr;
    if (e)
        *e = nullptr;
    if (n)
        *n = 0;
    return cudaSuccess;
}

EXP cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* x, cudaGraph_t g,
                                              unsigned long long) {
    LOCK;
    *x = (cudaGraphExec_t)g;
    return cudaSuccess;
}

EXP cudaError_t cudaGraphInstantiate(cudaGraphExec_t* x, cudaGraph_t g, unsigned long long) {
    LOCK;
    *x = (cudaGraphExec_t)g;
    return cudaSuccess;
}

EXP cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s) {
    LOCK;
    auto* g = (Graph*)x;
    counts["graph launch"]++;
    counts["replayed nodes"] += g->nodes.size();
    if (stream_of(s).cap)
        violate("graph launched into a capture");
    say("GRAPH LAUNCH s" + std::to_string(stream_of(s).num) + " " +
        std::to_string(g->nodes.size()));
    return cudaSuccess;
}

EXP cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
EXP cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) {
    LOCK;
    counts["graph destroy"]++;
    return cudaSuccess;
}

EXP cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t*, size_t* n) {
    if (n)
        *n = g ? ((Graph*)g)->nodes.size() : 0;
    return cudaSuccess;
}

EXP cudaError_t cudaGraphDebugDotPrint(cudaGraph_t, const char*, unsigned) { return cudaSuccess; }
// kernels
EXP void** __cudaRegisterFatBinary(void*) {
    static void* h[1];
    return h;
}

EXP void __cudaRegisterFatBinaryEnd(void**) {}
EXP void __cudaUnregisterFatBinary(void**) {}
EXP char __cudaInitModule(void**) { return 1; }
EXP void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
EXP void __cudaRegisterFunction(void**, const char* hostFun, char*, const char* name, int, uint3*,
                                uint3*, dim3*, dim3*, int*) {
    LOCK;
    kernels[hostFun] = name;
}

EXP cudaError_t __cudaGetKernel(cudaKernel_t* k, const void* f) {
    *k = (cudaKernel_t)f;
    return cudaSuccess;
}

struct Conf {
    dim3 g, b;
    size_t s;
    void* st;
};

static thread_local std::vector<Conf> confs;
EXP unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t s, cudaStream_t st) {
    confs.push_back({g, b, s, st});
    return 0;
}

EXP cudaError_t __cudaPopCallConfiguration(dim3* g, dim3* b, size_t* s, void* st) {
    auto c = confs.back();
    confs.pop_back();
    *g = c.g;
    *b = c.b;
    *s = c.s;
    *(void**)st = c.st;
    return cudaSuccess;
}

static cudaError_t launch(const void* f, dim3 g, dim3 b, void* st) {
    LOCK;
    auto it = kernels.find(f);
    return add(st, "kernel", it == kernels.end() ? "?" : it->second, (long)g.x * g.y * g.z,
               (long)b.x * b.y * b.z);
}

EXP cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 g, dim3 b, void**, size_t, cudaStream_t s) {
    return launch((const void*)k, g, b, s);
}

EXP cudaError_t cudaLaunchKernel(const void* f, dim3 g, dim3 b, void**, size_t, cudaStream_t s) {
    return launch(f, g, b, s);
}

EXP cudaError_t cudaLaunchCooperativeKernel(const void* f, dim3 g, dim3 b, void**, size_t,
                                            cudaStream_t s) {
    return launch(f, g, b, s);
}

EXP cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* f, void**) {
    return launch(f, c->gridDim, c->blockDim, c->stream);
}

EXP cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
    memset(a, 0, sizeof *a);
    a->maxThreadsPerBlock = 1024;
    a->numRegs = 32;
    a->ptxVersion = 90;
    a->binaryVersion = 90;
    return cudaSuccess;
}

EXP cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
EXP cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void*, int, size_t) {
    *n = 2;
    return cudaSuccess;
}

EXP cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void*, int,
                                                                       size_t, unsigned) {
    *n = 2;
    return cudaSuccess;
}

// driver entry points that torch asks for
static CUresult d_primary(CUdevice, unsigned* f, int* a) {
    *f = 0;
    *a = 1;
    return CUDA_SUCCESS;
}

static CUresult d_any() { return CUDA_ERROR_NOT_SUPPORTED; }
static CUresult d_getctx(CUcontext* c) {
    *c = (CUcontext)1;
    return CUDA_SUCCESS;
}

EXP cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** p, unsigned,
                                                 unsigned long long,
                                                 cudaDriverEntryPointQueryResult* r) {
    if (!strcmp(name, "cuDevicePrimaryCtxGetState"))
        *p = (void*)d_primary;
    else if (!strcmp(name, "cuCtxGetCurrent"))
        *p = (void*)d_getctx;
    else
        *p = (void*)d_any;
    if (r)
        *r = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}

// Kernels of Triton, which come by the driver (fake_driver.c).
EXP int fg_driver_launch(const char* n, long g, long b, void* s) {
    LOCK;
    add(s, "kernel", std::string("triton ") + n, g, b);
    return 0;
}
