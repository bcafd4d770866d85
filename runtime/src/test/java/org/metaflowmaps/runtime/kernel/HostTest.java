package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;

/** What tests of kernels on the host share: a compiler, a scope, and a count of tensors. */
abstract class HostTest {
    private static final Optional<HostKernels> FOUND = HostKernels.find();

    private long before;
    private TensorScope scope;
    RandomSource random;

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> FOUND.ifPresent(HostKernels::close)));
    }

    @BeforeEach
    void open() {
        before = NativeMemory.liveTensors();
        scope = TensorScope.open();
        random = RandomSource.seeded(7);
    }

    @AfterEach
    void close() {
        random.close();
        scope.close();
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** Returns the kernels on the host; skips the test if there is no compiler. */
    static HostKernels host() {
        assumeTrue(FOUND.isPresent(), "no C++ compiler on Linux: install g++, or name one in the variable CXX");
        return FOUND.orElseThrow();
    }
}
