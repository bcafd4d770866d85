package org.metaflowmaps.runtime;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * Uses that race with a close; {@link ClosingRacesTest} runs them in a separate JVM, because a bug ends the process.
 *
 * <p>Each case makes an object many times and closes it while readers use it. A reader may get the right value or an
 * {@link IllegalStateException}; anything else fails the case.
 */
final class ClosingRaces {
    private static final int READERS = 2;
    private static final int WIDTH = 600;
    /** The value of every element while the tensor is open. */
    private static final float VALUE = 3;

    private ClosingRaces() {}

    /** An object that readers use and others close. */
    private interface Shared extends AutoCloseable {
        /** Uses the object in one of several ways; returns false for a wrong value. */
        boolean use(int turn);

        @Override
        void close();
    }

    private interface Case {
        Shared make() throws IOException;
    }

    private static final Map<String, Case> CASES = Map.of(
            "tensor", () -> new Reading(retained(), true),
            "twice", () -> new Reading(retained(), true),
            "scope", ScopeOfAThread::new,
            "arena", Weights::new,
            "random", Draws::new,
            "file", () -> new Views("t.safetensors"),
            "pytorch", () -> new Views("t.pt"));

    /** The number of closes for each case, then the cases' names. */
    public static void main(String[] arguments) throws Exception {
        int rounds = Integer.parseInt(arguments[0]);
        try (Tensor loaded = retained();
                TensorScope scope = TensorScope.open()) {
            for (int turn = 0; turn < 12; turn++) {
                if (!read(loaded, turn)) {
                    throw new AssertionError("wrong value without a race in turn " + turn);
                }
            }
        }
        for (int i = 1; i < arguments.length; i++) {
            System.out.println("begin " + arguments[i]);
            run(
                    Objects.requireNonNull(CASES.get(arguments[i]), arguments[i]),
                    arguments[i].equals("twice") ? 2 : 1,
                    rounds);
            System.out.println("end " + arguments[i]);
        }
        System.out.println("tensors left " + NativeMemory.liveTensors());
    }

    private static void run(Case wanted, int closers, int rounds) throws Exception {
        AtomicReference<@Nullable Shared> current = new AtomicReference<>();
        AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
        AtomicInteger used = new AtomicInteger();
        List<Thread> readers = new ArrayList<>();
        for (int i = 0; i < READERS; i++) {
            int first = i;
            readers.add(Thread.ofPlatform().start(() -> {
                for (int turn = first; !Thread.currentThread().isInterrupted(); turn++) {
                    Shared shared = current.get();
                    if (shared == null) {
                        Thread.onSpinWait();
                        continue;
                    }
                    try (TensorScope scope = TensorScope.open()) {
                        if (!shared.use(turn)) {
                            throw new AssertionError("wrong value in turn " + turn);
                        }
                        used.incrementAndGet();
                    } catch (IllegalStateException refused) {
                        // This is expected.
                    } catch (Throwable e) {
                        failure.compareAndSet(null, e);
                        return;
                    }
                }
            }));
        }
        for (int round = 0; round < rounds && failure.get() == null; round++) {
            try (Shared shared = wanted.make()) {
                int before = used.get();
                current.set(shared);
                while (used.get() - before < 3 && failure.get() == null) {
                    Thread.onSpinWait();
                }
                List<Thread> others = new ArrayList<>();
                for (int i = 1; i < closers; i++) {
                    others.add(Thread.ofPlatform().start(shared::close));
                }
                shared.close();
                for (Thread other : others) {
                    other.join();
                }
            }
        }
        for (Thread reader : readers) {
            reader.interrupt();
            reader.join();
        }
        if (failure.get() != null) {
            throw new AssertionError("a reader failed", failure.get());
        }
    }

    private static Tensor retained() {
        try (TensorScope scope = TensorScope.open()) {
            return Torch.full(VALUE, DType.FLOAT32, Device.CPU, WIDTH).retain();
        }
    }

    /** One use of a tensor full of {@link #VALUE}, another at each turn. */
    private static boolean read(Tensor tensor, int turn) {
        return switch (turn % 12) {
            case 0 -> tensor.add(tensor).select(0, 5).item() == 2 * VALUE;
            case 1 -> tensor.shape().size(0) == WIDTH && tensor.numel() == WIDTH && tensor.dim() == 1;
            case 2 -> tensor.mul(2).max().item() == 2 * VALUE;
            case 3 -> tensor.toFloatArray()[WIDTH - 1] == VALUE;
            case 4 -> Torch.cat(0, tensor, tensor).numel() == 2 * WIDTH;
            case 5 ->
                Torch.where(tensor.gt(0), tensor, Torch.zeros(WIDTH)).min().item() == VALUE;
            case 6 -> tensor.sort(0).values().chunk(3, 0)[2].max().item() == VALUE;
            case 7 -> Torch.softmaxBackward(tensor, tensor.softmax(0), 0).numel() == WIDTH;
            case 8 -> tensor.dtype() == DType.FLOAT32 && tensor.device().equals(Device.CPU) && tensor.isContiguous();
            case 9 ->
                Torch.linear(tensor.view(1, WIDTH), tensor.view(1, WIDTH), tensor.narrow(0, 0, 1))
                                .item()
                        == (WIDTH * VALUE + 1) * VALUE;
            case 10 ->
                Torch.zeros(WIDTH).add_(tensor).lerp(tensor, tensor).max().item() == VALUE;
            default -> Torch.layerNorm(tensor, 1e-5).mean().item() == VALUE;
        };
    }

    private record Reading(Tensor tensor, boolean segments) implements Shared {
        @Override
        public boolean use(int turn) {
            if (segments && turn % 5 == 0) {
                MemorySegment segment = tensor.segment();
                return segment.getAtIndex(ValueLayout.JAVA_FLOAT, WIDTH - 1) == VALUE;
            }
            return read(tensor, turn);
        }

        @Override
        public void close() {
            tensor.close();
        }
    }

    /** A tensor of the closing thread's scope. */
    private static final class ScopeOfAThread implements Shared {
        private final TensorScope scope = TensorScope.open();
        private final Tensor tensor = Torch.full(VALUE, DType.FLOAT32, Device.CPU, WIDTH);

        @Override
        public boolean use(int turn) {
            return read(tensor, turn);
        }

        @Override
        public void close() {
            scope.close();
        }
    }

    private static final class Weights implements Shared {
        private final ParameterArena arena =
                new ParameterArena(Map.of("a", Shape.of(WIDTH), "b", Shape.of(3, WIDTH)), Device.CPU);

        Weights() {
            try (Autograd.Mode off = Autograd.noGrad()) {
                arena.values().fill_(VALUE);
            }
        }

        @Override
        public boolean use(int turn) {
            if (turn % 7 == 0) {
                Autograd.backward(arena.get("a").mul(arena.get("b")).sum());
                return true;
            }
            if (turn % 7 == 1) {
                return arena.gradients().dim() == 1
                        && arena.view("b", arena.values()).numel() == 3 * WIDTH;
            }
            return read(turn % 2 == 0 ? arena.get("a") : arena.values().narrow(0, 0, WIDTH), turn);
        }

        @Override
        public void close() {
            arena.close();
        }
    }

    private static final class Draws implements Shared {
        private final RandomSource random = RandomSource.seeded(1);

        @Override
        public boolean use(int turn) {
            return switch (turn % 4) {
                case 0 -> random.normal(WIDTH).numel() == WIDTH;
                case 1 -> random.integers(0, 5, WIDTH).max().item() < 5;
                case 2 -> random.permutation(WIDTH).numel() == WIDTH;
                default -> {
                    random.restore(random.state());
                    yield true;
                }
            };
        }

        @Override
        public void close() {
            random.close();
        }
    }

    /** Makes views while the file closes, and uses them afterwards. */
    private static final class Views implements Shared {
        private final TensorFile file;

        Views(String name) throws IOException {
            Path path = Path.of(System.getProperty("java.io.tmpdir"), name);
            if (!Files.exists(path)) {
                try (TensorScope scope = TensorScope.open()) {
                    Tensor full = Torch.full(VALUE, DType.FLOAT32, Device.CPU, WIDTH);
                    TensorFile.write(
                            path,
                            Map.of(),
                            List.of(new OutgoingTensor.Deferred("w", DType.FLOAT32, Shape.of(WIDTH), () -> full)));
                }
            }
            file = TensorFile.open(path);
        }

        @Override
        public boolean use(int turn) {
            if (file instanceof SafetensorsFile mapped && turn % 3 == 0) {
                try {
                    return mapped.bytes("w").getAtIndex(ValueLayout.JAVA_FLOAT, 7) == VALUE;
                } catch (IllegalArgumentException e) {
                    throw new UncheckedIOException(new IOException(e));
                }
            }
            Tensor view = file.view("w");
            boolean right = true;
            for (int i = 0; i < 8; i++) {
                right &= read(view, turn + i);
            }
            return right;
        }

        @Override
        public void close() {
            file.close();
        }
    }
}
