package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A missing library is named with the package that has it. */
final class MissingLibraryTest {
    @ParameterizedTest
    @CsvSource({
        "libcupti.so.13, CUPTI",
        "libcudart.so.13, CUDA 13 runtime",
        "libcuda.so.1, driver",
        "libcudnn_graph.so.9, cuDNN",
        "libcublasLt.so.13, cuBLAS",
        "libnccl.so.2, NCCL",
        "libgomp.so.1, libgomp1",
        "libelse.so.3, the package that has it"
    })
    void theMessageNamesFileAndPackage(String file, String part) {
        String advice = MissingLibrary.advice("/cache/libjnitorch.so: " + file
                        + ": cannot open shared object file: No such file or directory")
                .orElseThrow();
        assertTrue(advice.startsWith(file + " is missing: install "), advice);
        assertTrue(advice.contains(part), advice);
    }

    @Test
    void otherMessagesHaveNone() {
        assertEquals(Optional.empty(), MissingLibrary.advice("no jnitorch in java.library.path: [/usr/lib]"));
    }
}
