package org.metaflowmaps.runtime;

import java.io.IOException;
import java.io.InputStream;
import java.lang.ref.Reference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.GraphOptimizerEnabledGuard;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.JitModule;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.parameter_iterator;
import org.bytedeco.pytorch.parameter_list;
import org.metaflowmaps.bindings.LibtorchText;
import org.metaflowmaps.runtime.internal.Leaks;

/**
 * A network saved as TorchScript ({@code torch.jit.save} in Python), in evaluation mode and with frozen weights.
 *
 * <p>The file holds a program, which libtorch runs with the rights of this process: load only files that you trust.
 * PyTorch has deprecated TorchScript; use it only for networks that exist in no other form.
 *
 * <p>Owned by the caller. Any thread may call; calls wait for each other, and closing waits for the running call.
 */
public final class ScriptModule implements AutoCloseable {
    private static final byte[] ARCHIVE = {'P', 'K', 3, 4};

    private final Object lock = new Object();
    private final String file;
    private final JitModule module;
    private final Leaks.Ticket ticket;
    private boolean closed;

    private ScriptModule(String file, JitModule module) {
        this.file = file;
        this.module = module;
        this.ticket = Leaks.watch(this, "a ScriptModule", module, 0, Leaks.place());
    }

    /**
     * Loads a module.
     *
     * @param file an archive that {@code torch.jit.save} wrote
     * @param device the device of its weights
     * @throws IOException if the file is missing, unreadable or not TorchScript
     */
    public static ScriptModule load(Path file, Device device) throws IOException {
        Operands.present("load", "device", device).available();
        try (InputStream stream = Files.newInputStream(Operands.present("load", "file", file))) {
            if (!Arrays.equals(stream.readNBytes(ARCHIVE.length), ARCHIVE)) {
                throw new IOException(
                        file + " is not a TorchScript file: it is not a ZIP archive. Write one in Python by"
                                + " torch.jit.script(network).save(FILE)");
            }
        }
        Handles.initialise();
        try (DeviceOptional where = new DeviceOptional(Handles.device(device))) {
            JitModule module = torch.load(file.toString(), where, false);
            try {
                module.eval();
                freeze(module);
            } catch (RuntimeException | Error e) {
                module.close();
                throw e;
            }
            return new ScriptModule(file.toString(), module);
        } catch (RuntimeException e) {
            throw new IOException(
                    file + " cannot be loaded as TorchScript: " + LibtorchText.sentence(e.getMessage())
                            + " Write such a file in Python by torch.jit.script(network).save(FILE); torch.save and"
                            + " torch.export write other formats",
                    e);
        }
    }

    /** Freezes the weights; otherwise each call would record a graph for them. */
    private static void freeze(JitModule module) {
        try (parameter_list parameters = module.parameters();
                parameter_iterator each = parameters.begin();
                parameter_iterator end = parameters.end()) {
            for (long i = parameters.size(); i > 0; i--) {
                try (org.bytedeco.pytorch.Tensor parameter = each.multiply()) {
                    parameter.requires_grad_(false);
                }
                each.increment();
            }
        }
    }

    /**
     * Runs the module's method {@code forward}; differentiable in the input.
     *
     * @param input on the module's device, of the module's input shape and type
     * @param flags further positional arguments of the module
     * @return its result, in the innermost open scope
     * @throws TensorException if the module fails, or does not return one tensor
     * @throws IllegalStateException if this module was closed
     */
    public Tensor forward(Tensor input, boolean... flags) {
        Operands.present("forward", "flags", flags);
        TensorScope.innermost(); // throws before anything runs
        try (ThreadState call = ThreadState.enter(input)) {
            synchronized (lock) {
                if (closed) {
                    throw new IllegalStateException(
                            "the TorchScript module " + file + " was closed: run it before closing it");
                }
                return run(input, flags);
            }
        } catch (RuntimeException e) {
            throw TensorException.of("the TorchScript module " + file, e, input);
        }
    }

    private Tensor run(Tensor input, boolean[] flags) {
        // Turn off the optimiser: it rewrites the program after the first calls, so later calls would round
        // differently.
        try (GraphOptimizerEnabledGuard asWritten = new GraphOptimizerEnabledGuard(false);
                IValue argument = new IValue(input.unwrap());
                IValueVector arguments = new IValueVector(argument)) {
            for (boolean flag : flags) {
                try (IValue value = new IValue(flag)) {
                    arguments.push_back(value);
                }
            }
            return run(arguments);
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    private Tensor run(IValueVector arguments) {
        try (IValue result = module.forward(arguments)) {
            if (!result.isTensor()) {
                throw new UnsupportedOperationException("forward returned something other than one tensor");
            }
            return Tensor.adopt(new org.bytedeco.pytorch.Tensor(result.toTensor()));
        }
    }

    /** Frees the module after any running call. Idempotent. */
    @Override
    public void close() {
        synchronized (lock) {
            if (closed) {
                return;
            }
            closed = true;
            try {
                module.close();
                ticket.settle();
            } finally {
                Reference.reachabilityFence(this);
            }
        }
    }
}
