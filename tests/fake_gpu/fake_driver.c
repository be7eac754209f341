// The stand-in for CUDA's driver, as far as Triton asks it: built as libcuda.so.1. Kernels are
// counted by fake_cuda.cpp and do nothing.
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define NOT_FOUND 500
// The names that Triton and torch link to, or look up, and whose effect nobody sees.
#define DOES_NOTHING(name) \
    EXPORT int name() { return 0; }

// They are there where libfg.so has been loaded first.
extern int fg_driver_launch(const char*, long, long, void*) __attribute__((weak));
extern int cudaDeviceGetAttribute(int*, int, int) __attribute__((weak));

DOES_NOTHING(cuInit)
DOES_NOTHING(cuCtxGetLimit)
DOES_NOTHING(cuCtxSetCurrent)
DOES_NOTHING(cuCtxSetLimit)
DOES_NOTHING(cuFuncSetAttribute)
DOES_NOTHING(cuFuncSetCacheConfig)
DOES_NOTHING(cuLinkAddData_v2)
DOES_NOTHING(cuLinkComplete)
DOES_NOTHING(cuLinkCreate_v2)
DOES_NOTHING(cuModuleLoad)
DOES_NOTHING(cuModuleUnload)
DOES_NOTHING(cuPointerGetAttribute)
DOES_NOTHING(cuTensorMapEncodeTiled)

// the device

EXPORT int cuDriverGetVersion(int* version) {
    *version = 13000;
    return 0;
}

EXPORT int cuDeviceGetCount(int* n) {
    *n = 1;
    return 0;
}

EXPORT int cuDeviceGet(int* device, int number) {
    *device = 0;
    return 0;
}

EXPORT int cuDeviceGetName(char* name, int length, int device) {
    strncpy(name, "NVIDIA H100 80GB HBM3", length);
    return 0;
}

EXPORT int cuDeviceGetAttribute(int* value, int attribute, int device) {
    *value = 0;
    return cudaDeviceGetAttribute ? cudaDeviceGetAttribute(value, attribute, device) : 0;
}

EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    *bytes = 81559ul << 20;
    return 0;
}

EXPORT int cuCtxGetCurrent(void** context) {
    *context = (void*)1;
    return 0;
}

EXPORT int cuCtxGetDevice(int* device) {
    *device = 0;
    return 0;
}

EXPORT int cuDevicePrimaryCtxRetain(void** context, int device) {
    *context = (void*)1;
    return 0;
}

EXPORT int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* is_active) {
    *flags = 0;
    *is_active = 1;
    return 0;
}

EXPORT int cuGetErrorString(int error, const char** text) {
    *text = "an error of the stand-in";
    return 0;
}

EXPORT int cuGetErrorName(int error, const char** text) { return cuGetErrorString(error, text); }

// kernels: a function is its name

EXPORT int cuModuleLoadData(void** module, const void* image) {
    *module = malloc(8);
    return 0;
}

EXPORT int cuModuleLoadDataEx(void** module, const void* image, unsigned n, void* options,
                              void* values) {
    return cuModuleLoadData(module, image);
}

EXPORT int cuModuleGetFunction(void** function, void* module, const char* name) {
    *function = strdup(name);
    return 0;
}

EXPORT int cuFuncGetAttribute(int* value, int attribute, void* function) {
    enum { MOST_THREADS = 0, REGISTERS = 4 };
    *value = attribute == MOST_THREADS ? 1024 : attribute == REGISTERS ? 32 : 0;
    return 0;
}

EXPORT int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* n, void* function, int threads,
                                                       size_t bytes) {
    *n = 2;
    return 0;
}

EXPORT int cuOccupancyMaxActiveClusters(int* n, void* function, void* config) {
    *n = 2;
    return 0;
}

EXPORT int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                          unsigned block_x, unsigned block_y, unsigned block_z, unsigned bytes,
                          void* stream, void** parameters, void** extra) {
    long blocks = (long)grid_x * grid_y * grid_z;
    long threads = (long)block_x * block_y * block_z;
    return fg_driver_launch ? fg_driver_launch(function, blocks, threads, stream) : 0;
}

EXPORT int cuLaunchCooperativeKernel(void* function, unsigned grid_x, unsigned grid_y,
                                     unsigned grid_z, unsigned block_x, unsigned block_y,
                                     unsigned block_z, unsigned bytes, void* stream,
                                     void** parameters) {
    return cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, bytes,
                          stream, parameters, 0);
}

struct LaunchConfig {
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, bytes;
    void* stream;
};

EXPORT int cuLaunchKernelEx(const struct LaunchConfig* c, void* function, void** parameters,
                            void** extra) {
    return cuLaunchKernel(function, c->grid_x, c->grid_y, c->grid_z, c->block_x, c->block_y,
                          c->block_z, c->bytes, c->stream, parameters, extra);
}

EXPORT int cuGetProcAddress_v2(const char* name, void** address, int version, unsigned long flags,
                               void* result) {
    *address = dlsym(RTLD_DEFAULT, name);
    if (!*address) {
        void* here = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
        *address = here ? dlsym(here, name) : 0;
    }
    if (result)
        *(int*)result = !*address;
    return *address ? 0 : NOT_FOUND;
}

EXPORT int cuGetProcAddress(const char* name, void** address, int version, unsigned long flags) {
    return cuGetProcAddress_v2(name, address, version, flags, 0);
}
