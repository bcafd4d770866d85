package org.metaflowmaps.cli;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.NullUnmarked;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.NativeLibraryException;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.RewardException;
import org.metaflowmaps.training.TrainingException;

/** Every public call with valid arguments, and with each argument wrong in every way of its type. */
@NullUnmarked // null is one wrong value
final class MisuseCases {
    /** A way to make a valid value wrong; null leaves it valid. */
    record Misuse(String name, UnaryOperator<@Nullable Object> change) {}

    /**
     * One case.
     *
     * @param call the method or constructor
     * @param argument the wrong argument's index; -1 for the receiver
     * @param misuse the kind of misuse; null for a valid call
     */
    record Case(Executable call, int argument, @Nullable Misuse misuse) {
        String name() {
            return PublicSurface.name(call) + (misuse == null ? ", valid" : ", " + spoilt() + " " + misuse.name);
        }

        String spoilt() {
            return argument < 0 ? "this" : call.getParameters()[argument].getName();
        }
    }

    /** Exceptions that public methods may throw besides {@link IOException}. */
    private static final Set<Class<?>> DOCUMENTED = Set.of(
            IllegalArgumentException.class,
            IllegalStateException.class,
            IndexOutOfBoundsException.class,
            UnsupportedOperationException.class,
            UncheckedIOException.class,
            InvalidPathException.class,
            TensorException.class,
            TrainingException.class,
            NativeLibraryException.class,
            RewardException.class);

    /** Types whose methods name a null argument in their callers' terms; elsewhere any text is enough. */
    private static final Set<String> STRICT = Set.of(
            "Tensor",
            "Torch",
            "JavaCpp",
            "RandomSource",
            "Autograd",
            "Autocast",
            "TensorScope",
            "Device",
            "ParameterArena");

    private static final Misuse CLOSED_MEANWHILE = new Misuse("closed meanwhile", object -> object);
    private static final int MOST_CALLS = 200;

    private MisuseCases() {}

    static List<Case> all() {
        List<Case> cases = new ArrayList<>();
        for (Class<?> type : PublicSurface.types()) {
            for (Executable call : PublicSurface.calls(type)) {
                add(cases, call);
            }
        }
        return cases;
    }

    private static void add(List<Case> cases, Executable call) {
        cases.add(new Case(call, 0, null));
        if (call instanceof Method method && !Modifier.isStatic(method.getModifiers())) {
            Class<?> type = method.getDeclaringClass();
            if (type == Tensor.class) {
                tensors().stream()
                        .filter(misuse -> !misuse.name.equals("null"))
                        .forEach(misuse -> cases.add(new Case(call, -1, misuse)));
            } else if (AutoCloseable.class.isAssignableFrom(type)) {
                cases.add(new Case(call, -1, closed()));
                cases.add(new Case(call, -1, closedElsewhere()));
            }
        }
        for (int i = 0; i < call.getParameterCount(); i++) {
            for (Misuse misuse : misuses(call.getParameterTypes()[i], call.getGenericParameterTypes()[i])) {
                cases.add(new Case(call, i, misuse));
            }
        }
    }

    /** Methods of closable types, called while another thread closes the receiver. */
    static List<Case> races() {
        List<Case> races = new ArrayList<>();
        for (Case one : all()) {
            boolean closable = one.call instanceof Method method
                    && !Modifier.isStatic(method.getModifiers())
                    && AutoCloseable.class.isAssignableFrom(method.getDeclaringClass())
                    && !method.getName().equals("close");
            if (closable && one.misuse == null) {
                races.add(new Case(one.call, -1, CLOSED_MEANWHILE));
            }
        }
        return races;
    }

    /** Repeats a call in another thread until this thread has closed the receiver. */
    static @Nullable String race(Case one, Path folder, int pause) {
        AtomicReference<@Nullable String> verdict = new AtomicReference<>();
        MisuseRecipes recipes = new MisuseRecipes(folder);
        try {
            Object receiver = recipes.receiver((Method) one.call);
            CountDownLatch begun = new CountDownLatch(1);
            Thread worker = new Thread(() -> verdict.set(callUntilRefused(one, receiver, folder, begun)));
            worker.start();
            begun.await();
            LockSupport.parkNanos(pause);
            try {
                close(receiver);
            } catch (IllegalStateException refused) {
                verdict.compareAndSet(null, verdict(one, refused));
            }
            worker.join();
        } catch (InterruptedException e) {
            return e.toString();
        } finally {
            try {
                recipes.close();
            } catch (Exception e) {
                verdict.compareAndSet(null, tolerated(one, e) ? null : "closing afterwards: " + e);
            }
        }
        return verdict.get();
    }

    private static @Nullable String callUntilRefused(Case one, Object receiver, Path folder, CountDownLatch begun) {
        try {
            for (int i = 0; i < MOST_CALLS; i++) {
                try (MisuseRecipes recipes = new MisuseRecipes(folder)) {
                    Object[] arguments = recipes.arguments(one.call);
                    begun.countDown();
                    recipes.adopt(((Method) one.call).invoke(receiver, arguments));
                }
            }
            return null;
        } catch (InvocationTargetException e) {
            return verdict(one, e.getCause());
        } catch (Exception e) {
            return tolerated(one, e) ? null : e.toString();
        } finally {
            begun.countDown();
        }
    }

    /** Runs a case; returns null if the outcome is a result or a documented exception, else the problem. */
    static @Nullable String run(Case one, Path folder) {
        String verdict = null;
        MisuseRecipes recipes = new MisuseRecipes(folder);
        try {
            verdict = run(one, recipes);
        } catch (IllegalStateException e) {
            verdict = "no recipe: " + e;
        } finally {
            try {
                recipes.close();
            } catch (Exception e) {
                verdict = verdict == null && !tolerated(one, e) ? "closing afterwards: " + e : verdict;
            }
        }
        return verdict;
    }

    /** A misused lifetime may cause another exception when the rest is closed. */
    private static boolean tolerated(Case one, Exception failure) {
        return one.misuse != null && failure instanceof IllegalStateException;
    }

    private static @Nullable String run(Case one, MisuseRecipes recipes) {
        Object receiver = one.call instanceof Method method && !Modifier.isStatic(method.getModifiers())
                ? recipes.receiver(method)
                : null;
        Object[] arguments = recipes.arguments(one.call);
        try {
            if (one.misuse != null && one.argument < 0) {
                receiver = one.misuse.change.apply(receiver);
            } else if (one.misuse != null) {
                arguments[one.argument] = one.misuse.change.apply(arguments[one.argument]);
            }
        } catch (RuntimeException e) {
            return null; // this misuse does not apply to the value
        }
        try {
            Object result = one.call instanceof Constructor<?> constructor
                    ? constructor.newInstance(arguments)
                    : ((Method) one.call).invoke(receiver, arguments);
            recipes.adopt(result);
            return null;
        } catch (InvocationTargetException e) {
            boolean refused = MisuseRecipes.REFUSED.containsKey(PublicSurface.name(one.call));
            return one.misuse == null && !refused
                    ? "refused though valid: " + e.getCause() + ": give a recipe in MisuseRecipes"
                    : one.misuse == null ? null : verdict(one, e.getCause());
        } catch (IllegalArgumentException e) {
            return one.misuse != null && one.misuse.name.equals("null") ? null : "not callable: " + e;
        } catch (ReflectiveOperationException e) {
            return "not callable: " + e;
        }
    }

    private static @Nullable String verdict(Case one, Throwable thrown) {
        String text = String.valueOf(thrown.getMessage());
        boolean isNull = one.misuse.name.contains("null") || one.misuse.name.equals("short");
        boolean documented = thrown instanceof IOException
                || (thrown instanceof NullPointerException && isNull)
                || DOCUMENTED.contains(thrown.getClass());
        if (!documented) {
            return "not a documented exception: " + thrown + " at "
                    + Arrays.stream(thrown.getStackTrace()).limit(6).toList();
        }
        if (text.contains("\n")
                || text.contains("frame #")
                || text.contains("Exception raised from")
                || text.contains("org.bytedeco")) {
            return "its text is no single plain line: " + thrown;
        }
        boolean isWhole = one.misuse.name.equals("null");
        boolean strict = isWhole && STRICT.contains(one.call.getDeclaringClass().getSimpleName());
        boolean named = strict
                ? text.matches(".*\\b" + one.spoilt() + "\\b.*") || text.contains("operand is null")
                : thrown.getMessage() != null || !isWhole;
        if (thrown instanceof NullPointerException && !named) {
            return "null is not named: " + thrown + " at "
                    + Arrays.stream(thrown.getStackTrace()).limit(6).toList();
        }
        return null;
    }

    private static Misuse closed() {
        return of("closed", MisuseCases::close);
    }

    private static Misuse closedElsewhere() {
        return of("closed by another thread", object -> {
            Thread other = new Thread(() -> {
                try {
                    close(object);
                } catch (IllegalStateException expected) {
                    return; // throws when closed there, and stays open
                }
            });
            other.start();
            try {
                other.join();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            return object;
        });
    }

    private static @Nullable Object close(@Nullable Object object) {
        try {
            if (object instanceof AutoCloseable closeable) {
                closeable.close();
            }
            return object;
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static Misuse of(String name, UnaryOperator<@Nullable Object> change) {
        return new Misuse(name, change);
    }

    private static Misuse value(@Nullable Object value) {
        return new Misuse("= " + (value instanceof long[] sizes ? Arrays.toString(sizes) : value), ignored -> value);
    }

    private static Misuse tensor(String name, UnaryOperator<Tensor> change) {
        return new Misuse(name, object -> change.apply((Tensor) object));
    }

    static List<Misuse> misuses(Class<?> type, Type generic) {
        if (type == int.class) {
            return List.of(value(-1), value(0), value(Integer.MIN_VALUE), value(Integer.MAX_VALUE));
        } else if (type == long.class) {
            return List.of(
                    value(-1L),
                    value(0L),
                    value(7L),
                    value(Long.MIN_VALUE),
                    value(Long.MAX_VALUE),
                    value(1L << 31),
                    value(1L << 40));
        } else if (type == double.class) {
            return List.of(
                    value(Double.NaN),
                    value(Double.POSITIVE_INFINITY),
                    value(Double.NEGATIVE_INFINITY),
                    value(-1.0),
                    value(2.0),
                    value(Double.MAX_VALUE));
        } else if (type == boolean.class) {
            return List.of(value(true));
        }
        List<Misuse> all = new ArrayList<>(List.of(of("null", ignored -> null)));
        if (type == Tensor.class) {
            return tensors();
        } else if (type == long[].class) {
            for (long[] sizes : new long[][] {
                {},
                {-1},
                {0},
                {-7, 2},
                {Long.MAX_VALUE, 8},
                {1L << 32, 1L << 32},
                {Long.MIN_VALUE},
                {1L << 62},
                {1L << 40},
                {3, 3},
                {0, 0},
                {5}
            }) {
                all.add(value(sizes));
            }
            long[] many = new long[200];
            Arrays.fill(many, 1);
            all.add(of("of 200 sizes", ignored -> many));
        } else if (type.isArray()) {
            all.add(of("empty", object -> Array.newInstance(type.getComponentType(), 0)));
            all.add(of("short", object -> Array.newInstance(type.getComponentType(), 1)));
            if (type.getComponentType() == Tensor.class) {
                all.add(of("with a freed one", object -> new Tensor[] {Torch.zeros(2), freed(Torch.zeros(2))}));
            }
        } else if (type == String.class) {
            all.addAll(List.of(
                    value(""),
                    value("no such name"),
                    of("with a zero", ignored -> "../\u0000x"),
                    of("long", ignored -> "x".repeat(100_000))));
        } else if (type == Path.class) {
            all.addAll(List.of(
                    of("missing", path -> ((Path) path).resolveSibling("no/such/file")),
                    of("a folder", path -> ((Path) path).getParent())));
        } else if (type == List.class) {
            all.add(of("empty", ignored -> List.of()));
            all.add(of("with null", list -> Arrays.asList(((List<?>) list).getFirst(), null)));
            if (generic.getTypeName().contains(Tensor.class.getName() + ">")
                    && !generic.getTypeName().contains("Supplier")) {
                all.add(of("of a freed tensor", ignored -> List.of(freed(Torch.zeros(2)))));
            }
        } else if (type == Map.class) {
            all.add(of("empty", ignored -> Map.of()));
        } else if (type == MemorySegment.class) {
            all.addAll(List.of(
                    of("on the heap", ignored -> MemorySegment.ofArray(new float[16])),
                    of("read-only", memory -> ((MemorySegment) memory).asReadOnly()),
                    of("short", memory -> ((MemorySegment) memory).asSlice(0, 3)),
                    of("misaligned", memory -> ((MemorySegment) memory).asSlice(1)),
                    of("empty", memory -> MemorySegment.NULL),
                    of("closed", memory -> {
                        try (Arena arena = Arena.ofShared()) {
                            return arena.allocate(((MemorySegment) memory).byteSize(), 64);
                        }
                    })));
        } else if (type == Device.class) {
            all.add(value(Device.cuda(0)));
        } else if (type == DType.class) {
            for (DType other : new DType[] {DType.INT64, DType.BOOL, DType.BFLOAT16}) {
                all.add(value(other));
            }
        } else if (type.isEnum()) {
            for (Object constant : type.getEnumConstants()) {
                all.add(value(constant));
            }
        } else if (AutoCloseable.class.isAssignableFrom(type)) {
            all.add(closed());
            all.add(closedElsewhere());
        }
        return all;
    }

    private static Tensor freed(Tensor tensor) {
        tensor.close();
        return tensor;
    }

    private static List<Misuse> tensors() {
        List<Misuse> all = new ArrayList<>();
        all.add(of("null", ignored -> null));
        all.add(tensor("freed", MisuseCases::freed));
        for (DType type : DType.values()) {
            all.add(tensor("as " + type, tensor -> tensor.to(type).clone()));
        }
        all.add(tensor("a scalar", tensor -> Torch.zeros(tensor.dtype(), Device.CPU)));
        all.add(tensor("empty", tensor -> Torch.zeros(tensor.dtype(), Device.CPU, 0)));
        all.add(tensor("flat", tensor -> tensor.reshape(-1)));
        all.add(tensor(
                "short", tensor -> tensor.narrow(0, 0, tensor.size(0) - 1).clone()));
        all.add(tensor(
                "narrow", tensor -> tensor.narrow(-1, 0, tensor.size(-1) - 1).clone()));
        all.add(tensor("long", tensor -> Torch.cat(0, tensor, tensor)));
        all.add(tensor("of one more dimension", tensor -> tensor.unsqueeze(0)));
        all.add(tensor("of one element", tensor -> Torch.zeros(tensor.dtype(), Device.CPU, 1)));
        all.add(tensor("transposed", tensor -> tensor.transpose(0, -1).clone().transpose(0, -1)));
        all.add(tensor(
                "expanded", tensor -> Torch.zeros(tensor.dtype(), Device.CPU, 1).expand(tensor.shape())));
        all.add(tensor(
                "a strided view", tensor -> Torch.stack(-1, tensor, tensor).select(-1, 1)));
        all.add(tensor("of NaN", tensor -> tensor.fill_(Double.NaN)));
        all.add(tensor("of 1e30", tensor -> tensor.fill_(1e30)));
        all.add(tensor("of -1", tensor -> tensor.fill_(-1)));
        all.add(tensor("of 1e9", tensor -> tensor.fill_(1e9)));
        all.add(tensor("that requires gradients", tensor -> tensor.requiresGrad_(true)));
        return all;
    }
}
