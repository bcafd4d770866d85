package org.metaflowmaps.runtime.kernel;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import org.metaflowmaps.bindings.CudaException;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Compares an operation's kernels with its composed form once for each place where kernels run. */
final class KernelCheck {
    private static final Logger LOG = LoggerFactory.getLogger(KernelCheck.class);
    private static final Map<Key, Boolean> VERDICTS = new ConcurrentHashMap<>();

    private KernelCheck() {}

    private record Key(Kernels kernels, String operation) {}

    /**
     * Returns the verdict of the first call, which compares; a difference or failure is logged then. Reads from the device,
     * so the first call may not be in a captured step.
     *
     * @param kernels where they run
     * @param operation its name
     * @param agrees compares on small inputs; returns a truth value of one element
     */
    static boolean passes(Kernels kernels, String operation, Supplier<Tensor> agrees) {
        return VERDICTS.computeIfAbsent(new Key(kernels, operation), key -> compare(operation, agrees));
    }

    private static boolean compare(String operation, Supplier<Tensor> agrees) {
        try (TensorScope scope = TensorScope.open()) {
            if (agrees.get().item() != 0) {
                return true;
            }
            LOG.warn(
                    "The kernels of {} compute other results on this device than libtorch's operators, which are used"
                            + " instead. Please report this",
                    operation);
        } catch (CudaException | TensorException e) {
            LOG.warn("The kernels of {} failed; libtorch's operators are used instead: {}", operation, e.toString());
        }
        return false;
    }
}
