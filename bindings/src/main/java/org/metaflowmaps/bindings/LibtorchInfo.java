package org.metaflowmaps.bindings;

import java.nio.file.Path;

/**
 * What libtorch this process runs on.
 *
 * @param version the version of the stable C ABI that the library answers to, such as {@code "2.13.0"}
 * @param library the file that the C functions were found in
 * @param threads the number of threads one operation on the CPU may use
 * @param cudaBuild whether libtorch was built with CUDA; there may still be no device
 */
public record LibtorchInfo(String version, Path library, int threads, boolean cudaBuild) {}
