// The stand-in for cuBLAS, and for as much of cuDNN as batch normalisation takes. See
// fake_cuda.cpp.
#include "state.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
// cuBLAS takes pointers to these alone; their headers need more than torch's wheels bring.
#define __CUDA_FP16_H__
#define __CUDA_BF16_H__
struct __half;
struct __nv_bfloat16;
#include <cublasLt.h>
#include <cublas_v2.h>

// cuBLAS
struct Handle {
    cudaStream_t s = 0;
    cublasMath_t m = CUBLAS_DEFAULT_MATH;
    void* w = nullptr;
    size_t n = 0;
    cublasPointerMode_t pm = CUBLAS_POINTER_MODE_HOST;
};

EXP cublasStatus_t cublasCreate_v2(cublasHandle_t* h) {
    LOCK;
    if (unsafe("cublasCreate"))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *h = (cublasHandle_t) new Handle;
    counts["cublasCreate"]++;
    say("cublasCreate");
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
EXP cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t s) {
    ((Handle*)h)->s = s;
    ((Handle*)h)->w = nullptr;
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t h, void* w, size_t n) {
    ((Handle*)h)->w = w;
    ((Handle*)h)->n = n;
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t m) {
    ((Handle*)h)->m = m;
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasGetMathMode(cublasHandle_t h, cublasMath_t* m) {
    *m = ((Handle*)h)->m;
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t h, cublasPointerMode_t m) {
    ((Handle*)h)->pm = m;
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t h, cublasPointerMode_t* m) {
    *m = ((Handle*)h)->pm;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t gemm(cublasHandle_t h, const char* n, int ta, int tb, int m, int nn, int k,
                           int batch, const float* beta) {
    LOCK;
    auto* H = (Handle*)h;
    char b[300];
    snprintf(b, 300, "%s op=%d%d m=%d n=%d k=%d batch=%d math=%d beta=%g ws=%s/%zu", n, ta, tb, m,
             nn, k, batch, (int)H->m, beta ? *beta : -1, H->w ? "user" : "NONE", H->n);
    if (stream_of(H->s).cap && !H->w)
        violate("cuBLAS has no workspace of torch's in a capture");
    add(H->s, "gemm", b, (long)m * nn * k * batch, batch, H->m);
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasSgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb,
                                  int m, int n, int k, const float*, const float*, int,
                                  const float*, int, const float* be, float*, int) {
    return gemm(h, "Sgemm", ta, tb, m, n, k, 1, be);
}

EXP cublasStatus_t cublasDgemm_v2(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb,
                                  int m, int n, int k, const double*, const double*, int,
                                  const double*, int, const double*, double*, int) {
    return gemm(h, "Dgemm", ta, tb, m, n, k, 1, nullptr);
}

EXP cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta,
                                             cublasOperation_t tb, int m, int n, int k,
                                             const float*, const float*, int, long long,
                                             const float*, int, long long, const float* be, float*,
                                             int, long long, int batch) {
    return gemm(h, "SgemmStridedBatched", ta, tb, m, n, k, batch, be);
}

EXP cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t ta,
                                              cublasOperation_t tb, int m, int n, int k,
                                              const void*, const void*, cudaDataType, int,
                                              long long, const void*, cudaDataType, int, long long,
                                              const void* be, void*, cudaDataType, int, long long,
                                              int batch, cublasComputeType_t ct, cublasGemmAlgo_t) {
    return gemm(h, "GemmStridedBatchedEx", ta, tb, m, n, k, batch, (const float*)be);
}

EXP cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m,
                                int n, int k, const void*, const void*, cudaDataType, int,
                                const void*, cudaDataType, int, const void* be, void*, cudaDataType,
                                int, cublasComputeType_t, cublasGemmAlgo_t) {
    return gemm(h, "GemmEx", ta, tb, m, n, k, 1, (const float*)be);
}

EXP cublasStatus_t cublasSgemv_v2(cublasHandle_t h, cublasOperation_t ta, int m, int n,
                                  const float*, const float*, int, const float*, int,
                                  const float* be, float*, int) {
    return gemm(h, "Sgemv", ta, 0, m, n, 1, 1, be);
}

EXP cublasStatus_t cublasSdot_v2(cublasHandle_t h, int n, const float*, int, const float*, int,
                                 float*) {
    return gemm(h, "Sdot", 0, 0, n, 1, 1, 1, nullptr);
}

EXP cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t,
                                            cudaDataType_t) {
    *d = (cublasLtMatmulDesc_t)malloc(64);
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t) { return CUBLAS_STATUS_SUCCESS; }
EXP cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t,
                                                  cublasLtMatmulDescAttributes_t, const void*,
                                                  size_t) {
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* d) {
    *d = (cublasLtMatmulPreference_t)malloc(64);
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t) {
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                        cublasLtMatmulPreferenceAttributes_t,
                                                        const void*, size_t) {
    return CUBLAS_STATUS_SUCCESS;
}

struct Lay {
    uint64_t r, c;
};

EXP cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* d, cudaDataType, uint64_t r,
                                              uint64_t c, int64_t) {
    *d = (cublasLtMatrixLayout_t) new Lay{r, c};
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t) {
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t,
                                                    cublasLtMatrixLayoutAttribute_t, const void*,
                                                    size_t) {
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                                  cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                                  cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                                  cublasLtMatmulPreference_t, int,
                                                  cublasLtMatmulHeuristicResult_t* r, int* n) {
    memset(r, 0, sizeof *r);
    *n = 1;
    return CUBLAS_STATUS_SUCCESS;
}

EXP cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t, const void*,
                                  const void*, cublasLtMatrixLayout_t a, const void*,
                                  cublasLtMatrixLayout_t b, const void* be, const void*,
                                  cublasLtMatrixLayout_t, void*, cublasLtMatrixLayout_t d,
                                  const cublasLtMatmulAlgo_t*, void* w, size_t n, cudaStream_t s) {
    LOCK;
    char buf[200];
    snprintf(buf, 200, "LtMatmul A=%lux%lu B=%lux%lu ws=%zu", ((Lay*)a)->r, ((Lay*)a)->c,
             ((Lay*)b)->r, ((Lay*)b)->c, n);
    return add(s, "gemm", buf) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                              : CUBLAS_STATUS_INTERNAL_ERROR;
}

EXP size_t cublasLtGetVersion() { return 130100; }
// cuDNN: batch normalisation, and convolutions as far as they are asked for
struct Dn {
    void* s = 0;
};

EXP int cudnnCreate(void** h) {
    LOCK;
    if (unsafe("cudnnCreate"))
        return 1;
    *h = new Dn;
    say("cudnnCreate");
    return 0;
}

EXP int cudnnSetStream(void* h, void* s) {
    ((Dn*)h)->s = s;
    return 0;
}

EXP int cudnnGetStream(void* h, void** s) {
    *s = ((Dn*)h)->s;
    return 0;
}

EXP int cudnnCreateTensorDescriptor(void** d) {
    *d = malloc(64);
    return 0;
}

EXP int cudnnDestroyTensorDescriptor(void*) { return 0; }
EXP int cudnnSetTensorNdDescriptor(void*, int, int, const int*, const int*) { return 0; }
EXP int cudnnCreateActivationDescriptor(void** d) {
    *d = malloc(64);
    return 0;
}

EXP int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void*, int, int, void*, void*,
                                                                 void*, void*, void*, size_t* n) {
    *n = 1024;
    return 0;
}

EXP int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void*, int, int, void*, void*,
                                                             size_t* n) {
    *n = 1024;
    return 0;
}

EXP int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void*, int, int, void*, void*, void*,
                                                          void*, void*, void*, void*, size_t* n) {
    *n = 1024;
    return 0;
}

EXP int cudnnBatchNormalizationForwardTrainingEx(void* h, int mode, int ops, ...) {
    LOCK;
    add(((Dn*)h)->s, "kernel", "cudnn BN forward mode " + std::to_string(mode));
    return 0;
}

EXP int cudnnBatchNormalizationBackwardEx(void* h, int mode, int ops, ...) {
    LOCK;
    add(((Dn*)h)->s, "kernel", "cudnn BN backward mode " + std::to_string(mode));
    return 0;
}

EXP cublasStatus_t cublasDgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta,
                                             cublasOperation_t tb, int m, int n, int k,
                                             const double*, const double*, int, long long,
                                             const double*, int, long long, const double*, double*,
                                             int, long long, int batch) {
    return gemm(h, "DgemmStridedBatched", ta, tb, m, n, k, batch, nullptr);
}

EXP cublasStatus_t cublasDgemv_v2(cublasHandle_t h, cublasOperation_t ta, int m, int n,
                                  const double*, const double*, int, const double*, int,
                                  const double*, double*, int) {
    return gemm(h, "Dgemv", ta, 0, m, n, 1, 1, nullptr);
}

EXP cublasStatus_t cublasDdot_v2(cublasHandle_t h, int n, const double*, int, const double*, int,
                                 double*) {
    return gemm(h, "Ddot", 0, 0, n, 1, 1, 1, nullptr);
}

EXP cublasStatus_t cublasDotEx(cublasHandle_t h, int n, const void*, cudaDataType, int, const void*,
                               cudaDataType, int, void*, cudaDataType, cudaDataType) {
    return gemm(h, "DotEx", 0, 0, n, 1, 1, 1, nullptr);
}

EXP cublasStatus_t cublasSnrm2_v2(cublasHandle_t h, int n, const float*, int, float*) {
    return gemm(h, "Snrm2", 0, 0, n, 1, 1, 1, nullptr);
}
