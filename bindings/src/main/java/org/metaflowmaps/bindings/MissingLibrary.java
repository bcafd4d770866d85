package org.metaflowmaps.bindings;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Names the package of a shared library that the system's loader did not find. */
final class MissingLibrary {
    private static final Pattern MESSAGE =
            Pattern.compile("(lib[\\w+-]+\\.so(?:\\.\\d+)*): cannot open shared object file");

    /** Prefixes of file names, and where the libraries come from; the first that fits. */
    private static final Map<String, String> PACKAGES = packages();

    private MissingLibrary() {}

    private static Map<String, String> packages() {
        Map<String, String> packages = new LinkedHashMap<>();
        packages.put("libcuda.", "the NVIDIA driver, version 580 or newer");
        packages.put("libcudnn", "cuDNN 9 for CUDA 13");
        packages.put("libnccl.", "NCCL 2 for CUDA 13");
        packages.put("libcublas", "cuBLAS of the CUDA 13 toolkit");
        packages.put("libcusparse", "cuSPARSE of the CUDA 13 toolkit");
        packages.put("libcusolver", "cuSOLVER of the CUDA 13 toolkit");
        packages.put("libcufft.", "cuFFT of the CUDA 13 toolkit");
        packages.put("libcurand.", "cuRAND of the CUDA 13 toolkit");
        packages.put("libcufile.", "cuFile (GPUDirect Storage) of the CUDA 13 toolkit");
        packages.put("libcupti.", "CUPTI of the CUDA 13 toolkit, in its folder extras/CUPTI/lib64");
        packages.put("libnvrtc.", "NVRTC of the CUDA 13 toolkit");
        packages.put("libnvJitLink.", "nvJitLink of the CUDA 13 toolkit");
        packages.put("libcudart.", "the CUDA 13 runtime");
        packages.put("libgomp.", "GCC's OpenMP runtime (libgomp1)");
        packages.put("libstdc++.", "GCC's C++ runtime (libstdc++6)");
        return packages;
    }

    /** Returns the advice for a loader's message; empty if it names no missing library. */
    static Optional<String> advice(String message) {
        Matcher found = MESSAGE.matcher(message);
        if (!found.find()) {
            return Optional.empty();
        }
        String file = found.group(1);
        String source = PACKAGES.entrySet().stream()
                .filter(entry -> file.startsWith(entry.getKey()))
                .map(entry -> "install " + entry.getValue())
                .findFirst()
                .orElse("install the package that has it");
        return Optional.of(file + " is missing: " + source + ", and put its folder on LD_LIBRARY_PATH");
    }
}
