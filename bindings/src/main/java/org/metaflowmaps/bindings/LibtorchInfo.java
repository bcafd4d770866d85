package org.metaflowmaps.bindings;

import java.nio.file.Path;

/**
 * The libtorch that this process uses.
 *
 * @param version the version of the library's stable C ABI, such as {@code "2.13.0"}
 * @param library the file that holds the C functions
 * @param threads the number of threads one operation on the CPU may use
 * @param cudaBuild whether libtorch was built with CUDA; there may still be no device
 */
public record LibtorchInfo(String version, Path library, int threads, boolean cudaBuild) {}
