package org.metaflowmaps.runtime;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.Availability;
import org.metaflowmaps.bindings.CudaDriver;
import org.metaflowmaps.bindings.CudaRuntime;
import org.metaflowmaps.bindings.Libtorch;
import org.metaflowmaps.bindings.LibtorchInfo;
import org.metaflowmaps.bindings.NativeLibraryException;
import org.metaflowmaps.bindings.Nvrtc;
import org.metaflowmaps.bindings.Nvtx;
import org.metaflowmaps.bindings.ThreadPools;

/** The native software that this process uses, and how to install missing parts. */
public final class Installation {
    private static final String BLAS_CHOICE = "OPENBLAS_CORETYPE";

    private Installation() {}

    /**
     * One piece of native software.
     *
     * @param name its name
     * @param found its version and path, or why it is missing
     * @param cure how to install it, if it is missing
     */
    public record Part(String name, String found, Optional<String> cure) {}

    /** Returns all pieces. Loads libtorch; if that fails, the list gives the reason and still has the other pieces. */
    public static List<Part> parts() {
        List<Part> parts = new ArrayList<>();
        Optional<LibtorchInfo> loaded = libtorch(parts);
        parts.add(library(
                "CUDA driver",
                CudaDriver.availability(),
                "install the NVIDIA driver, version 580 or newer, on a machine with an NVIDIA GPU"));
        parts.add(library(
                "CUDA runtime",
                CudaRuntime.availability(),
                "install CUDA 13, or put its lib folder on LD_LIBRARY_PATH"));
        parts.add(library(
                "NVRTC", Nvrtc.availability(), "comes with CUDA 13; needed only for kernels compiled at run time"));
        parts.add(
                library("NVTX", Nvtx.availability(), "comes with CUDA 13; needed only to see named ranges in Nsight"));
        loaded.ifPresent(info -> parts.add(devices(info.cudaBuild())));
        return parts;
    }

    private static Optional<LibtorchInfo> libtorch(List<Part> parts) {
        try {
            LibtorchInfo info = Libtorch.info();
            String build = info.cudaBuild() ? "CUDA build" : "CPU build";
            parts.add(new Part(
                    "libtorch", info.version() + ", " + build + " (" + info.library() + ")", Optional.empty()));
            parts.add(new Part("threads", Integer.toString(info.threads()), Optional.empty()));
            ThreadPools.blasKernels().ifPresent(kernels -> parts.add(products(kernels, System.getenv(BLAS_CHOICE))));
            return Optional.of(info);
        } catch (NativeLibraryException e) {
            parts.add(new Part(
                    "libtorch",
                    "not loaded: " + e.getMessage(),
                    Optional.of("nothing works without it; see the reason above")));
            return Optional.empty();
        }
    }

    /**
     * Describes the BLAS library's products.
     *
     * @param chosen the kind of processor that the environment names, null for none
     */
    static Part products(String kernels, @Nullable String chosen) {
        return new Part(
                "BLAS",
                "OpenBLAS, products for " + kernels,
                Optional.ofNullable(chosen)
                        .map(name -> "the environment variable " + BLAS_CHOICE + "=" + name
                                + " chose them; without it OpenBLAS chooses those of this processor, which are often"
                                + " faster"));
    }

    private static Part library(String name, Availability availability, String cure) {
        return switch (availability) {
            case Availability.Found found -> new Part(name, "found: " + found.location(), Optional.empty());
            case Availability.Missing missing -> new Part(name, "not found: " + missing.reason(), Optional.of(cure));
        };
    }

    private static Part devices(boolean cudaBuild) {
        if (!cudaBuild) {
            return new Part(
                    "devices",
                    "cpu",
                    Optional.of("to use a GPU, build with -Pcuda (automatic if /proc/driver/nvidia/version exists)"));
        }
        if (!torch.cuda_is_available()) {
            return new Part(
                    "devices",
                    "cpu; libtorch sees no GPU",
                    Optional.of("libtorch's CUDA build needs a driver and CUDA 13 with cuDNN 9, cuBLAS and NCCL "
                            + "on the library path"));
        }
        StringBuilder text = new StringBuilder("cpu");
        for (int i = 0; i < torch.cuda_device_count(); i++) {
            CudaRuntime.Device device = CudaRuntime.device(i);
            text.append(String.format(
                    Locale.ROOT,
                    ", cuda:%d (%s, compute %d.%d, %.0f GiB)",
                    i,
                    device.name(),
                    device.computeMajor(),
                    device.computeMinor(),
                    CudaRuntime.memory(i).total() / 0x1p30));
        }
        return new Part("devices", text.toString(), Optional.empty());
    }
}
