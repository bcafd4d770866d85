package org.metaflowmaps.runtime;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.function.BinaryOperator;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.ComputeStream;
import org.metaflowmaps.bindings.Libtorch;
import org.metaflowmaps.bindings.StableAbi;
import org.metaflowmaps.runtime.internal.Leaks;

/**
 * One libtorch tensor and its owner, with the operations this library needs under PyTorch's names and semantics.
 *
 * <p>Every method that returns a tensor returns a new one that belongs to the innermost open {@link TensorScope} of the
 * calling thread; methods whose names end in an underscore change this tensor in place and return it. Shapes broadcast,
 * types promote and dimensions count from the end when negative, all as in PyTorch. If libtorch rejects an operation, a
 * {@link TensorException} is thrown; using a freed tensor throws {@link IllegalStateException}. For other operations
 * use {@link JavaCpp}. Factories and operations on several tensors are in {@link Torch}.
 *
 * <p>Thread safety: any thread may read a tensor. A tensor of a scope is freed by the scope's thread, a retained one by
 * any thread. Freeing waits until native calls of other threads on the tensor return; later calls throw
 * {@link IllegalStateException}. For tensors of the calling thread's scopes this costs nothing. Writing (methods that
 * end in an underscore, {@link #segment}) while another thread reads or writes the same memory is not synchronised:
 * values are then undefined, as in PyTorch.
 */
public final class Tensor implements AutoCloseable {
    /** {@link #norm} reduces tensors from this size on in rows of this size. */
    private static final long ROW = 4096;

    private static final long ROWS_FROM = 1L << 22;
    private static final long[] ALONG_ROWS = {1};

    /** The most bytes of a copy through page-locked memory. */
    private static final long MOST_STAGED = 1L << 26;

    private static final VarHandle FREED;
    private static final VarHandle USER;
    private static final ThreadState.Token SEVERAL = new ThreadState.Token();

    static {
        try {
            FREED = MethodHandles.lookup().findVarHandle(Tensor.class, "freed", boolean.class);
            USER = MethodHandles.lookup().findVarHandle(Tensor.class, "user", ThreadState.Token.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final org.bytedeco.pytorch.Tensor raw;
    private final long bytes;
    private final @Nullable Throwable made = Leaks.place();
    /** Set before the memory is freed, see {@link ThreadState}. */
    private boolean freed;

    /** The token of the only thread whose counted calls have used this tensor ({@link ThreadState}), or {@link #SEVERAL}. */
    private ThreadState.@Nullable Token user;

    private @Nullable TensorScope owner;
    private int slot;
    private @Nullable Arena window;
    private Leaks.@Nullable Ticket ticket;
    /** The memory of {@link Torch#of(MemorySegment, DType, long...)} under this tensor, if any. */
    private @Nullable MemorySegment lent;

    private Tensor(org.bytedeco.pytorch.Tensor raw, TensorScope owner) {
        this.raw = raw;
        this.owner = owner;
        this.bytes = StableAbi.numel(raw.address())
                * DType.ofCode(StableAbi.dtype(raw.address())).bytes();
    }

    /** Takes ownership of a libtorch tensor into the innermost open scope; frees it if no scope is open. */
    static Tensor adopt(org.bytedeco.pytorch.Tensor raw) {
        try {
            TensorScope scope = TensorScope.innermost();
            Tensor tensor = new Tensor(raw, scope);
            scope.add(tensor);
            NativeMemory.made(tensor.bytes);
            return tensor;
        } catch (RuntimeException | Error e) {
            raw.close();
            throw e;
        }
    }

    /** See {@link JavaCpp#wrap}. */
    static Tensor wrap(org.bytedeco.pytorch.Tensor raw) {
        if (Operands.present("wrap", "raw", raw).isNull()) {
            throw new IllegalStateException("wrap: the JavaCPP tensor raw was closed: wrap it before closing it");
        }
        return adopt(new org.bytedeco.pytorch.Tensor(raw));
    }

    /** See {@link JavaCpp#unwrap}. */
    org.bytedeco.pytorch.Tensor unwrap() {
        if (freed) {
            throw new IllegalStateException(
                    "this tensor was freed: its scope closed or close() was called; keep() or retain() it, "
                            + "or move its use inside the scope");
        }
        MemorySegment memory = lent;
        if (memory != null && !memory.scope().isAlive()) {
            throw new IllegalStateException(
                    "the memory of this tensor was freed: the arena that Torch.of got it from was closed; keep "
                            + "the arena open as long as the tensor, or copy with Torch.copyOf");
        }
        return raw;
    }

    /** Records the memory under this tensor. */
    Tensor showing(MemorySegment memory) {
        lent = memory;
        return this;
    }

    /** The same for a result that may be a view of this tensor. */
    private Tensor derived(Tensor result) {
        MemorySegment memory = lent;
        if (memory != null) {
            long place = StableAbi.dataPointer(result.raw.address()) - memory.address();
            if (place >= 0 && place < memory.byteSize()) {
                result.lent = memory;
            }
        }
        return result;
    }

    // ---- lifetime ----

    void place(TensorScope scope, int index) {
        owner = scope;
        slot = index;
    }

    @Nullable
    TensorScope owner() {
        return owner;
    }

    int slot() {
        return slot;
    }

    /** Returns true if only the calling thread can free this tensor. */
    boolean isOwn() {
        TensorScope scope = owner;
        return scope != null && scope.isOfThisThread();
    }

    /** Notes that a counted call of a thread, which begins now, uses this tensor. */
    void useFrom(ThreadState state) {
        ThreadState.Token known = (ThreadState.Token) USER.getAcquire(this);
        if (known == state.token || known == SEVERAL) {
            return;
        }
        if (known != null || !USER.compareAndSet(this, null, state.token)) {
            USER.setVolatile(this, SEVERAL);
        }
        // Before the call reads whether this tensor was freed: the freeing thread sees the note, or the call the mark.
        VarHandle.fullFence();
    }

    /** Returns whether calls of other threads may use this tensor; to ask after the mark of its freeing and a fence. */
    boolean isUsedBesides(ThreadState state) {
        ThreadState.Token known = (ThreadState.Token) USER.getAcquire(this);
        return known != null && known != state.token;
    }

    /** The first step of freeing: later calls throw. Only for the thread of the owning scope. */
    void markFreed() {
        freed = true;
    }

    /**
     * The last step of freeing: frees the memory. If a native call uses {@link #segment}, throws, and this tensor stays
     * open. The caller has marked it, waited for other threads, and updates {@link NativeMemory}.
     */
    void destroy() {
        if (window != null) {
            try {
                window.close();
            } catch (IllegalStateException e) {
                FREED.setVolatile(this, false);
                throw e;
            }
            window = null;
        }
        try {
            raw.close();
            // Drop the reference, so that this object does not keep the memory.
            lent = null;
            if (ticket != null) {
                ticket.settle();
            }
        } finally {
            Reference.reachabilityFence(this);
        }
    }

    long bytes() {
        return bytes;
    }

    /** Where this tensor was made, if places are recorded ({@link Leaks}). */
    @Nullable
    Throwable made() {
        return made;
    }

    /** Watches for the loss of a tensor that no longer belongs to a scope. */
    void leaveScopes() {
        owner = null;
        if (ticket == null) {
            ticket = Leaks.watch(this, "a tensor", raw, bytes, made);
        }
    }

    void reportLost(String where) {
        Leaks.report("a tensor " + where, raw, bytes, made);
    }

    /**
     * Takes this tensor out of its scope: from now on only {@link #close} frees it. If its Java object is lost instead,
     * the memory is not freed and the loss is reported ({@link NativeMemory#lostObjects}).
     *
     * @return this tensor, owned by the caller
     * @throws IllegalStateException on another thread than that of its scope, or if it was freed
     */
    public Tensor retain() {
        unwrap();
        TensorScope scope = owner;
        if (scope != null) {
            scope.checkThread("retain");
            scope.remove(slot);
            leaveScopes();
        }
        return this;
    }

    /**
     * Frees this tensor at once, also before its scope closes; the memory is freed with its last view. Waits until
     * native calls of other threads on this tensor return. Idempotent, also from several threads.
     *
     * @throws IllegalStateException on another thread than that of its scope, or while a native call uses its
     *     {@link #segment}
     */
    @Override
    public void close() {
        TensorScope scope = owner;
        if (scope != null) {
            scope.checkThread("close");
            if (freed) {
                return;
            }
            freed = true;
        } else if (!FREED.compareAndSet(this, false, true)) {
            return;
        }
        VarHandle.fullFence();
        if (isUsedBesides(ThreadState.current())) {
            ThreadState.awaitOthers();
        }
        destroy();
        if (scope != null) {
            owner = null;
            scope.remove(slot);
        }
        NativeMemory.freed(1, bytes);
    }

    /** Returns true after this tensor was freed. */
    public boolean isFreed() {
        return freed;
    }

    // ---- properties ----

    long handle() {
        return unwrap().address();
    }

    /** The size of each dimension. */
    public Shape shape() {
        return Shape.of(sizes());
    }

    private long[] sizes() {
        try (ThreadState call = ThreadState.enter(this)) {
            return StableAbi.sizes(handle());
        }
    }

    /** The size of one dimension; negative counts from the end. */
    public long size(int dim) {
        long[] shape = sizes();
        if (dim < -shape.length || dim >= shape.length) {
            throw new IllegalArgumentException("size(" + dim + ") of a tensor with shape " + Arrays.toString(shape)
                    + ": it has " + shape.length + " dimensions");
        }
        return shape[dim < 0 ? dim + shape.length : dim];
    }

    /** The number of dimensions. */
    public int dim() {
        try (ThreadState call = ThreadState.enter(this)) {
            return StableAbi.dim(handle());
        }
    }

    long[] strides() {
        try (ThreadState call = ThreadState.enter(this)) {
            return StableAbi.strides(handle());
        }
    }

    /** Returns whether elements are where sizes and strides say, as C functions without libtorch's dispatcher assume. */
    boolean isPlain() {
        try (ThreadState call = ThreadState.enter(this)) {
            org.bytedeco.pytorch.Tensor tensor = unwrap();
            return !tensor.is_sparse() && !tensor.is_mkldnn() && !tensor.is_neg();
        }
    }

    /** The number of elements. */
    public long numel() {
        try (ThreadState call = ThreadState.enter(this)) {
            return StableAbi.numel(handle());
        }
    }

    /** The element type. */
    public DType dtype() {
        try (ThreadState call = ThreadState.enter(this)) {
            return DType.ofCode(StableAbi.dtype(handle()));
        }
    }

    /** The device whose memory holds this tensor. */
    public Device device() {
        try (ThreadState call = ThreadState.enter(this)) {
            long handle = handle();
            return Device.ofCodes(StableAbi.deviceType(handle), StableAbi.deviceIndex(handle));
        }
    }

    /** Returns true if elements are in row-major order without gaps. */
    public boolean isContiguous() {
        try (ThreadState call = ThreadState.enter(this)) {
            return StableAbi.isContiguous(handle());
        }
    }

    /** True if gradients flow into or through this tensor. */
    public boolean requiresGrad() {
        try (ThreadState call = ThreadState.enter(this)) {
            return unwrap().requires_grad();
        }
    }

    @Override
    public String toString() {
        MemorySegment memory = lent;
        boolean gone = isFreed() || (memory != null && !memory.scope().isAlive());
        return gone ? "Tensor(freed)" : "Tensor(" + dtype() + Arrays.toString(sizes()) + " on " + device() + ")";
    }

    // ---- to and from Java ----

    /**
     * Returns a view of this tensor's memory, without a copy: Java and libtorch see each other's writes.
     *
     * @return the elements in row-major order, in the machine's byte order; valid until this tensor is freed; later
     *     access throws. Keeps this tensor reachable
     * @throws IllegalStateException if the tensor is not on the CPU or not contiguous
     */
    @SuppressWarnings("MustBeClosedChecker") // the arena closes when this tensor is freed
    public MemorySegment segment() {
        try (ThreadState call = ThreadState.enter(this)) {
            MemorySegment memory = borrow("segment");
            HostReads.read();
            synchronized (raw) {
                Arena shown = window;
                if (shown == null) {
                    shown = Arena.ofShared();
                    // The arena's list of actions refers to this tensor, and every segment refers to the arena.
                    MemorySegment ignored = MemorySegment.NULL.reinterpret(shown, this::windowClosed);
                    window = shown;
                }
                return memory.reinterpret(shown, null);
            }
        }
    }

    /** Does nothing: the reference to this method keeps this tensor reachable from its segments. */
    @SuppressWarnings("UnusedVariable")
    private void windowClosed(MemorySegment none) {}

    /** Returns the memory without a lifetime check, for copies that finish before this tensor can be freed. */
    MemorySegment borrow(String action) {
        if (device().type() != Device.Type.CPU || !isContiguous()) {
            throw new IllegalStateException(action + " needs a contiguous tensor on the CPU, this is " + this
                    + (isContiguous() ? ": call to(Device.CPU) first" : ", not contiguous: call contiguous() first"));
        }
        return MemorySegment.ofAddress(StableAbi.dataPointer(handle())).reinterpret(numel() * dtype().bytes());
    }

    /** The elements as float32, copied to the heap in row-major order, from any device and type. */
    public float[] toFloatArray() {
        try (TensorScope scope = TensorScope.open()) {
            HostReads.read();
            return detach().to(DType.FLOAT32)
                    .copied(Device.CPU)
                    .contiguous()
                    .borrow("toFloatArray")
                    .toArray(ValueLayout.JAVA_FLOAT);
        }
    }

    /** The elements as float64, copied to the heap in row-major order, from any device and type. */
    public double[] toDoubleArray() {
        try (TensorScope scope = TensorScope.open()) {
            HostReads.read();
            return detach().to(DType.FLOAT64)
                    .copied(Device.CPU)
                    .contiguous()
                    .borrow("toDoubleArray")
                    .toArray(ValueLayout.JAVA_DOUBLE);
        }
    }

    /** The elements as int64, copied to the heap in row-major order, from any device and type. */
    public long[] toLongArray() {
        try (TensorScope scope = TensorScope.open()) {
            HostReads.read();
            return detach().to(DType.INT64)
                    .copied(Device.CPU)
                    .contiguous()
                    .borrow("toLongArray")
                    .toArray(ValueLayout.JAVA_LONG);
        }
    }

    /**
     * The value of a tensor with one element. On a GPU this waits until the value is computed.
     *
     * @throws IllegalArgumentException if there is not exactly one element
     */
    public double item() {
        if (numel() != 1) {
            throw new IllegalArgumentException("item() needs one element, this is " + this);
        }
        HostReads.read();
        try (ThreadState call = ThreadState.enter(this)) {
            return unwrap().item_double();
        } catch (RuntimeException e) {
            throw TensorException.of("item", e, this);
        }
    }

    // ---- how operations are run ----

    private Tensor apply(String operation, UnaryOperator<org.bytedeco.pytorch.Tensor> body) {
        try (ThreadState call = ThreadState.enter(this)) {
            return derived(adopt(body.apply(unwrap())));
        } catch (RuntimeException e) {
            throw TensorException.of(operation, e, this);
        }
    }

    private Tensor apply(String operation, BinaryOperator<org.bytedeco.pytorch.Tensor> body, Tensor other) {
        try (ThreadState call = ThreadState.enter(this, other)) {
            return adopt(body.apply(unwrap(), other.unwrap()));
        } catch (RuntimeException e) {
            throw TensorException.of(operation, e, this, other);
        }
    }

    private Tensor withScalar(String operation, double value, Function<Scalar, org.bytedeco.pytorch.Tensor> body) {
        try (ThreadState call = ThreadState.enter(this)) {
            return adopt(Handles.withScalar(value, body));
        } catch (RuntimeException e) {
            throw TensorException.of(operation, e, this);
        }
    }

    /** Runs an operation that returns its first operand: JavaCPP returns the same object, or a second reference. */
    private Tensor inPlace(String operation, UnaryOperator<org.bytedeco.pytorch.Tensor> body) {
        try (ThreadState call = ThreadState.enter(this)) {
            change(body);
            return this;
        } catch (RuntimeException e) {
            throw TensorException.of(operation, e, this);
        }
    }

    private Tensor inPlace(String operation, UnaryOperator<org.bytedeco.pytorch.Tensor> body, Tensor... others) {
        Tensor[] operands = new Tensor[others.length + 1];
        operands[0] = this;
        System.arraycopy(others, 0, operands, 1, others.length);
        try (ThreadState call = ThreadState.enter(operands)) {
            change(body);
            return this;
        } catch (RuntimeException e) {
            throw TensorException.of(operation, e, operands);
        }
    }

    @SuppressWarnings("ReferenceEquality") // compares the identity of Java objects
    private void change(UnaryOperator<org.bytedeco.pytorch.Tensor> body) {
        org.bytedeco.pytorch.Tensor self = unwrap();
        org.bytedeco.pytorch.Tensor result = body.apply(self);
        if (result != self) {
            result.close();
        }
    }

    static Tensor[] takeAll(TensorVector results) {
        try (results) {
            Tensor[] tensors = new Tensor[(int) results.size()];
            for (int i = 0; i < tensors.length; i++) {
                // get() points into the vector, which will be freed; the copy holds its own reference to the tensor.
                tensors[i] = adopt(new org.bytedeco.pytorch.Tensor(results.get(i)));
            }
            return tensors;
        }
    }

    // ---- arithmetic ----

    /** this + other. */
    public Tensor add(Tensor other) {
        return apply("add", (a, b) -> a.add(b), other);
    }

    /** this + value. */
    public Tensor add(double value) {
        return withScalar("add", value, scalar -> unwrap().add(scalar));
    }

    /** this - other. */
    public Tensor sub(Tensor other) {
        return apply("sub", (a, b) -> a.sub(b), other);
    }

    /** this - value. */
    public Tensor sub(double value) {
        return withScalar("sub", value, scalar -> unwrap().sub(scalar));
    }

    /** this · other, element by element. */
    public Tensor mul(Tensor other) {
        return apply("mul", (a, b) -> a.mul(b), other);
    }

    /** this · value. */
    public Tensor mul(double value) {
        return withScalar("mul", value, scalar -> unwrap().mul(scalar));
    }

    /** this / other. */
    public Tensor div(Tensor other) {
        return apply("div", (a, b) -> a.div(b), other);
    }

    /** this / value. */
    public Tensor div(double value) {
        return withScalar("div", value, scalar -> unwrap().div(scalar));
    }

    /** this to the power of value. */
    public Tensor pow(double value) {
        return withScalar("pow", value, scalar -> unwrap().pow(scalar));
    }

    /** -this. */
    public Tensor neg() {
        return apply("neg", org.bytedeco.pytorch.Tensor::neg);
    }

    /** The absolute value. */
    public Tensor abs() {
        return apply("abs", org.bytedeco.pytorch.Tensor::abs);
    }

    /** this · this. */
    public Tensor square() {
        return apply("square", org.bytedeco.pytorch.Tensor::square);
    }

    /** The square root. */
    public Tensor sqrt() {
        return apply("sqrt", org.bytedeco.pytorch.Tensor::sqrt);
    }

    /** 1 / √this. */
    public Tensor rsqrt() {
        return apply("rsqrt", org.bytedeco.pytorch.Tensor::rsqrt);
    }

    /** 1 / this. */
    public Tensor reciprocal() {
        return apply("reciprocal", org.bytedeco.pytorch.Tensor::reciprocal);
    }

    /** eˣ. */
    public Tensor exp() {
        return apply("exp", org.bytedeco.pytorch.Tensor::exp);
    }

    /** The natural logarithm. */
    public Tensor log() {
        return apply("log", org.bytedeco.pytorch.Tensor::log);
    }

    /** The largest whole number not above each element. */
    public Tensor floor() {
        return apply("floor", a -> a.floor());
    }

    /** log(1 + this). */
    public Tensor log1p() {
        return apply("log1p", org.bytedeco.pytorch.Tensor::log1p);
    }

    /** The sine. */
    public Tensor sin() {
        return apply("sin", org.bytedeco.pytorch.Tensor::sin);
    }

    /** The cosine. */
    public Tensor cos() {
        return apply("cos", org.bytedeco.pytorch.Tensor::cos);
    }

    /** The hyperbolic tangent. */
    public Tensor tanh() {
        return apply("tanh", org.bytedeco.pytorch.Tensor::tanh);
    }

    /** 1 / (1 + e⁻ˣ). */
    public Tensor sigmoid() {
        return apply("sigmoid", org.bytedeco.pytorch.Tensor::sigmoid);
    }

    /** The error function. */
    public Tensor erf() {
        return apply("erf", org.bytedeco.pytorch.Tensor::erf);
    }

    /** 1 - erf(this), accurate where the difference would cancel. */
    public Tensor erfc() {
        return apply("erfc", org.bytedeco.pytorch.Tensor::erfc);
    }

    /** max(this, 0). */
    public Tensor relu() {
        return apply("relu", org.bytedeco.pytorch.Tensor::relu);
    }

    /** True where neither infinite nor NaN. */
    public Tensor isFinite() {
        return apply("isFinite", org.bytedeco.pytorch.Tensor::isfinite);
    }

    /** True where false. */
    public Tensor logicalNot() {
        return apply("logicalNot", org.bytedeco.pytorch.Tensor::logical_not);
    }

    /** The element-wise maximum of two tensors. */
    public Tensor maximum(Tensor other) {
        return apply("maximum", (a, b) -> a.maximum(b), other);
    }

    /** The element-wise minimum of two tensors. */
    public Tensor minimum(Tensor other) {
        return apply("minimum", (a, b) -> a.minimum(b), other);
    }

    /** Values below {@code value} raised to it. */
    public Tensor clampMin(double value) {
        return withScalar("clampMin", value, scalar -> unwrap().clamp_min(scalar));
    }

    /** Values above {@code value} lowered to it. */
    public Tensor clampMax(double value) {
        return withScalar("clampMax", value, scalar -> unwrap().clamp_max(scalar));
    }

    /** this + weight · (end - this). */
    public Tensor lerp(Tensor end, Tensor weight) {
        Operands.present("lerp", "weight", weight);
        return Torch.run("lerp", () -> unwrap().lerp(end.unwrap(), weight.unwrap()), this, end, weight);
    }

    // ---- comparison ----

    /** True where this = other. */
    public Tensor eq(Tensor other) {
        return apply("eq", (a, b) -> a.eq(b), other);
    }

    /** True where this = value. */
    public Tensor eq(double value) {
        return withScalar("eq", value, scalar -> unwrap().eq(scalar));
    }

    /** True where this ≠ other. */
    public Tensor ne(Tensor other) {
        return apply("ne", (a, b) -> a.ne(b), other);
    }

    /** True where this ≠ value. */
    public Tensor ne(double value) {
        return withScalar("ne", value, scalar -> unwrap().ne(scalar));
    }

    /** True where this &lt; other. */
    public Tensor lt(Tensor other) {
        return apply("lt", (a, b) -> a.lt(b), other);
    }

    /** True where this &lt; value. */
    public Tensor lt(double value) {
        return withScalar("lt", value, scalar -> unwrap().lt(scalar));
    }

    /** True where this ≤ other. */
    public Tensor le(Tensor other) {
        return apply("le", (a, b) -> a.le(b), other);
    }

    /** True where this ≤ value. */
    public Tensor le(double value) {
        return withScalar("le", value, scalar -> unwrap().le(scalar));
    }

    /** True where this &gt; other. */
    public Tensor gt(Tensor other) {
        return apply("gt", (a, b) -> a.gt(b), other);
    }

    /** True where this &gt; value. */
    public Tensor gt(double value) {
        return withScalar("gt", value, scalar -> unwrap().gt(scalar));
    }

    /** True where this ≥ other. */
    public Tensor ge(Tensor other) {
        return apply("ge", (a, b) -> a.ge(b), other);
    }

    /** True where this ≥ value. */
    public Tensor ge(double value) {
        return withScalar("ge", value, scalar -> unwrap().ge(scalar));
    }

    /** True if every element is. */
    public Tensor all() {
        return apply("all", a -> a.all());
    }

    /** True if any element is. */
    public Tensor any() {
        return apply("any", a -> a.any());
    }

    // ---- reduction ----

    /** The sum of all elements. */
    public Tensor sum() {
        return apply("sum", a -> a.sum(Handles.NO_TYPE));
    }

    /**
     * The sum over some dimensions, which are removed.
     *
     * @param dims at least one
     * @throws IllegalArgumentException if {@code dims} is empty: {@link #sum()} sums over all
     */
    public Tensor sum(long... dims) {
        Operands.dims("sum", dims);
        return apply("sum", a -> a.sum(dims, false, Handles.NO_TYPE));
    }

    /** As {@link #sum(long...)}, but the dimensions stay with size 1. */
    public Tensor sumKeepDim(long... dims) {
        Operands.dims("sumKeepDim", dims);
        return apply("sumKeepDim", a -> a.sum(dims, true, Handles.NO_TYPE));
    }

    /** The mean of all elements. */
    public Tensor mean() {
        return apply("mean", a -> a.mean(Handles.NO_TYPE));
    }

    /**
     * The mean over some dimensions, which are removed.
     *
     * @param dims at least one
     * @throws IllegalArgumentException if {@code dims} is empty: {@link #mean()} averages over all
     */
    public Tensor mean(long... dims) {
        Operands.dims("mean", dims);
        return apply("mean", a -> a.mean(dims, false, Handles.NO_TYPE));
    }

    /** As {@link #mean(long...)}, but the dimensions stay with size 1. */
    public Tensor meanKeepDim(long... dims) {
        Operands.dims("meanKeepDim", dims);
        return apply("meanKeepDim", a -> a.mean(dims, true, Handles.NO_TYPE));
    }

    /** The largest element of all. */
    public Tensor max() {
        return apply("max", a -> a.max());
    }

    /** The smallest element of all. */
    public Tensor min() {
        return apply("min", a -> a.min());
    }

    /**
     * The largest elements along some dimensions, which are removed.
     *
     * @param dims at least one
     * @throws IllegalArgumentException if {@code dims} is empty
     */
    public Tensor amax(long... dims) {
        Operands.dims("amax", dims);
        return apply("amax", a -> a.amax(dims, false));
    }

    /** As {@link #amax(long...)}, but the dimensions stay with size 1. */
    public Tensor amaxKeepDim(long... dims) {
        Operands.dims("amaxKeepDim", dims);
        return apply("amaxKeepDim", a -> a.amax(dims, true));
    }

    /** The index (int64) of the largest element along one dimension, which is removed. */
    public Tensor argmax(long dim) {
        return apply("argmax", a -> {
            try (LongOptional along = new LongOptional(dim)) {
                return a.argmax(along, false);
            }
        });
    }

    /**
     * The unbiased variance over some dimensions, which are removed.
     *
     * @param dims at least one
     * @throws IllegalArgumentException if {@code dims} is empty
     */
    public Tensor var(long... dims) {
        Operands.dims("var", dims);
        return apply("var", a -> a.var(dims, true, false));
    }

    /** As {@link #var(long...)}, but the dimensions stay with size 1. */
    public Tensor varKeepDim(long... dims) {
        Operands.dims("varKeepDim", dims);
        return apply("varKeepDim", a -> a.var(dims, true, true));
    }

    /**
     * The Euclidean norm of all elements. libtorch's CPU kernel sums squares in float32, which loses accuracy for large
     * buffers, so large tensors on the CPU are reduced in rows first.
     */
    public Tensor norm() {
        if (numel() < ROWS_FROM
                || device().type() != Device.Type.CPU
                || dtype() == DType.FLOAT64
                || !dtype().isFloatingPoint()) {
            return apply("norm", a -> a.norm());
        }
        TensorScope.innermost(); // refuses if no scope is open to hold the result
        try (TensorScope scope = TensorScope.open()) {
            Tensor flat = reshape(-1);
            long whole = flat.numel() / ROW * ROW;
            Tensor rows = flat.narrow(0, 0, whole)
                    .view(-1, ROW)
                    .apply("norm", a -> a.norm(Handles.TWO, ALONG_ROWS, false, Handles.scalarType(DType.FLOAT32)));
            Tensor rest = flat.narrow(0, whole, flat.numel() - whole)
                    .to(DType.FLOAT32)
                    .apply("norm", a -> a.norm());
            Tensor all = Torch.cat(0, rows, rest.unsqueeze(0)).apply("norm", a -> a.norm());
            return scope.keep(all.to(dtype()));
        }
    }

    /**
     * log Σ eˣ over some dimensions, which are removed, without overflow.
     *
     * @param dims at least one
     * @throws IllegalArgumentException if {@code dims} is empty
     */
    public Tensor logsumexp(long... dims) {
        Operands.dims("logsumexp", dims);
        return apply("logsumexp", a -> a.logsumexp(dims, false));
    }

    /** As {@link #logsumexp(long...)}, but the dimensions stay with size 1. */
    public Tensor logsumexpKeepDim(long... dims) {
        Operands.dims("logsumexpKeepDim", dims);
        return apply("logsumexpKeepDim", a -> a.logsumexp(dims, true));
    }

    /** Running sums along one dimension. */
    public Tensor cumsum(long dim) {
        return apply("cumsum", a -> a.cumsum(dim));
    }

    /** eˣ / Σ eˣ along one dimension. */
    public Tensor softmax(long dim) {
        return apply("softmax", a -> a.softmax(dim));
    }

    /** The logarithm of {@link #softmax}. */
    public Tensor logSoftmax(long dim) {
        return apply("logSoftmax", a -> a.log_softmax(dim));
    }

    /** Values in ascending order along one dimension, and the indices (int64) they came from. */
    public Sorted sort(long dim) {
        TensorScope.innermost(); // refuses before results are made
        try (ThreadState call = ThreadState.enter(this);
                T_TensorTensor_T pair = unwrap().sort(dim, false)) {
            return new Sorted(wrap(pair.get0()), wrap(pair.get1()));
        } catch (RuntimeException e) {
            throw TensorException.of("sort", e, this);
        }
    }

    /**
     * The largest or smallest values along one dimension, the most extreme first, and the indices (int64) they came from.
     * NaN counts as the largest value.
     *
     * @param k how many, 0 to the dimension's size
     * @param largest false for the smallest values
     */
    public Sorted topk(long k, long dim, boolean largest) {
        TensorScope.innermost(); // refuses before results are made
        try (ThreadState call = ThreadState.enter(this);
                T_TensorTensor_T pair = unwrap().topk(k, dim, largest, true)) {
            return new Sorted(wrap(pair.get0()), wrap(pair.get1()));
        } catch (RuntimeException e) {
            throw TensorException.of("topk", e, this);
        }
    }

    /**
     * What {@link #sort} and {@link #topk} return.
     *
     * @param values the values in order
     * @param indices where they came from, int64
     */
    public record Sorted(Tensor values, Tensor indices) {}

    // ---- products ----

    /** The matrix product; leading dimensions broadcast. */
    public Tensor matmul(Tensor other) {
        return apply("matmul", (a, b) -> a.matmul(b), other);
    }

    // ---- shape ----

    /** Returns the same elements in another shape; -1 for one size that is computed from the rest. */
    public Tensor reshape(long... shape) {
        Operands.sizes("reshape", shape);
        return apply("reshape", a -> a.reshape(shape));
    }

    /** As {@link #reshape(long...)}. */
    public Tensor reshape(Shape shape) {
        return reshape(Operands.present("reshape", "shape", shape).toArray());
    }

    /** Like {@link #reshape}, but throws if a copy would be needed. */
    public Tensor view(long... shape) {
        Operands.sizes("view", shape);
        return apply("view", a -> a.view(shape));
    }

    /** As {@link #view(long...)}. */
    public Tensor view(Shape shape) {
        return view(Operands.present("view", "shape", shape).toArray());
    }

    /** Returns a view of this memory with any shape and strides, from this tensor's first element. */
    public Tensor asStrided(long[] size, long[] stride) {
        Operands.strided("asStrided", size, stride);
        return apply("asStrided", a -> a.as_strided(size, stride));
    }

    /** Permutes the dimensions; a view. */
    public Tensor permute(long... dims) {
        Operands.present("permute", "dims", dims);
        return apply("permute", a -> a.permute(dims));
    }

    /** Swaps two dimensions; a view. */
    public Tensor transpose(long first, long second) {
        return apply("transpose", a -> a.transpose(first, second));
    }

    /** Inserts a dimension of size 1; a view. */
    public Tensor unsqueeze(long dim) {
        return apply("unsqueeze", a -> a.unsqueeze(dim));
    }

    /** Removes a dimension of size 1; a view. */
    public Tensor squeeze(long dim) {
        return apply("squeeze", a -> a.squeeze(dim));
    }

    /** Repeats dimensions of size 1 without a copy; -1 keeps a size. */
    public Tensor expand(long... shape) {
        Operands.sizes("expand", shape);
        return apply("expand", a -> a.expand(shape));
    }

    /** As {@link #expand(long...)}. */
    public Tensor expand(Shape shape) {
        return expand(Operands.present("expand", "shape", shape).toArray());
    }

    /** Repeats the whole tensor along each dimension, {@code times[i]} times along dimension i. */
    public Tensor repeat(long... times) {
        Operands.sizes("repeat", "times", times);
        return apply("repeat", a -> a.repeat(times));
    }

    /** Repeats each entry along a dimension {@code times} times in a row. */
    public Tensor repeatInterleave(long times, long dim) {
        return apply("repeatInterleave", a -> {
            try (LongOptional along = new LongOptional(dim);
                    LongOptional size = new LongOptional()) {
                return a.repeat_interleave(times, along, size);
            }
        });
    }

    /** The entries start … start + length - 1 along a dimension; a view. */
    public Tensor narrow(long dim, long start, long length) {
        return apply("narrow", a -> a.narrow(dim, start, length));
    }

    /** One entry along a dimension, which is removed; a view. */
    public Tensor select(long dim, long index) {
        return apply("select", a -> a.select(dim, index));
    }

    /** Splits into equal parts along a dimension; views. */
    public Tensor[] chunk(long chunks, long dim) {
        TensorScope.innermost(); // refuses before results are made
        try (ThreadState call = ThreadState.enter(this)) {
            Tensor[] parts = takeAll(unwrap().chunk(chunks, dim));
            for (Tensor part : parts) {
                derived(part);
            }
            return parts;
        } catch (RuntimeException e) {
            throw TensorException.of("chunk", e, this);
        }
    }

    /** The entries at those indices (int64, one dimension) along a dimension; a copy. */
    public Tensor indexSelect(long dim, Tensor index) {
        return apply("indexSelect", (a, b) -> a.index_select(dim, b), index);
    }

    /** Selects elements along a dimension by an index tensor (int64) of the result's shape. */
    public Tensor gather(long dim, Tensor index) {
        return apply("gather", (a, b) -> a.gather(dim, b), index);
    }

    /** Entries in reverse order along some dimensions; a copy. */
    public Tensor flip(long... dims) {
        Operands.present("flip", "dims", dims);
        return apply("flip", a -> a.flip(dims));
    }

    /** Returns this tensor if contiguous, else a contiguous copy. */
    public Tensor contiguous() {
        return apply("contiguous", a -> a.contiguous());
    }

    /** {@code value} where the mask (bool) is true, this elsewhere. */
    public Tensor maskedFill(Tensor mask, double value) {
        Operands.present("maskedFill", "mask", mask);
        return Torch.run(
                "maskedFill",
                () -> Handles.withScalar(value, scalar -> unwrap().masked_fill(mask.unwrap(), scalar)),
                this,
                mask);
    }

    // ---- conversion ----

    /** Returns this tensor with another element type; the same memory if the type is equal. */
    public Tensor to(DType type) {
        Operands.present("to", "type", type);
        return apply("to", a -> a.to(Handles.scalarType(type)));
    }

    /** Returns this tensor on another device; the same memory if the device is equal. */
    public Tensor to(Device device) {
        Operands.present("to", "device", device);
        if (device.type() == Device.Type.CPU && device().type() != Device.Type.CPU) {
            HostReads.read();
        }
        return device.type() == Device.Type.CUDA && device().type() == Device.Type.CPU
                ? uploaded(device)
                : copied(device);
    }

    /**
     * Copies to a GPU without waiting for it, through page-locked memory, which libtorch reuses only after the copy. Large
     * tensors are copied directly, because page-locked memory is never given back to the system, and so
     * are tensors with a gradient graph. Without CUDA the direct copy says so.
     *
     * @throws IllegalStateException during the capture of a graph, whose replays would copy from reused memory
     */
    private Tensor uploaded(Device device) {
        if (ComputeStream.isCapturing()) {
            throw new IllegalStateException("a tensor is copied from the CPU to " + device
                    + " while a step is captured as a graph: make it before, and pass it to the step");
        }
        boolean direct = !Libtorch.info().cudaBuild()
                || numel() == 0
                || numel() * dtype().bytes() > MOST_STAGED
                || requiresGrad();
        return direct
                ? copied(device)
                : apply("to", a -> {
                    try (org.bytedeco.pytorch.Tensor staged = a.pin_memory()) {
                        return staged.to(Handles.device(device), a.scalar_type(), true, false, Handles.NO_FORMAT);
                    }
                });
    }

    /** {@link #to(Device)} for a read that was counted already. */
    private Tensor copied(Device device) {
        return apply("to", a -> a.to(Handles.device(device), a.scalar_type()));
    }

    /** Returns the same values without gradient graph; a view. */
    public Tensor detach() {
        return apply("detach", a -> a.detach());
    }

    /** Returns a copy, which shares no memory with this tensor. */
    @Override
    @SuppressWarnings("MissingSuperCall")
    public Tensor clone() {
        return apply("clone", a -> a.clone());
    }

    /** Sets whether gradients are computed for this tensor. */
    public Tensor requiresGrad_(boolean on) {
        return inPlace("requiresGrad_", a -> a.requires_grad_(on));
    }

    // ---- in place ----

    /** this += other. */
    public Tensor add_(Tensor other) {
        return inPlace("add_", a -> a.add_(other.unwrap()), other);
    }

    /** this += value. */
    public Tensor add_(double value) {
        return inPlace("add_", a -> Handles.withScalar(value, scalar -> a.add_(scalar)));
    }

    /** this -= other. */
    public Tensor sub_(Tensor other) {
        return inPlace("sub_", a -> a.sub_(other.unwrap()), other);
    }

    /** this -= value. */
    public Tensor sub_(double value) {
        return inPlace("sub_", a -> Handles.withScalar(value, scalar -> a.sub_(scalar)));
    }

    /** this ·= other. */
    public Tensor mul_(Tensor other) {
        return inPlace("mul_", a -> a.mul_(other.unwrap()), other);
    }

    /** this ·= value. */
    public Tensor mul_(double value) {
        return inPlace("mul_", a -> Handles.withScalar(value, scalar -> a.mul_(scalar)));
    }

    /** this /= other. */
    public Tensor div_(Tensor other) {
        return inPlace("div_", a -> a.div_(other.unwrap()), other);
    }

    /** this /= value. */
    public Tensor div_(double value) {
        return inPlace("div_", a -> Handles.withScalar(value, scalar -> a.div_(scalar)));
    }

    /** Copies the other tensor's values, converted and broadcast, into this memory. */
    public Tensor copy_(Tensor other) {
        if (Operands.present("copy_", "other", other).device().type() != Device.Type.CPU
                && device().type() == Device.Type.CPU) {
            HostReads.read();
        }
        return inPlace("copy_", a -> a.copy_(other.unwrap()), other);
    }

    /** Sets every element to zero. */
    public Tensor zero_() {
        return inPlace("zero_", a -> a.zero_());
    }

    /** Sets every element to {@code value}. */
    public Tensor fill_(double value) {
        return inPlace("fill_", a -> Handles.withScalar(value, scalar -> a.fill_(scalar)));
    }

    /** this = max(this, 0); a gradient needs the result only. */
    public Tensor relu_() {
        return inPlace("relu_", a -> a.relu_());
    }

    /** this += weight · (end - this). */
    public Tensor lerp_(Tensor end, double weight) {
        return inPlace("lerp_", a -> Handles.withScalar(weight, scalar -> a.lerp_(end.unwrap(), scalar)), end);
    }

    /** this += weight · (end - this); the weight is broadcast, and of this tensor's type. */
    public Tensor lerp_(Tensor end, Tensor weight) {
        return inPlace("lerp_", a -> a.lerp_(end.unwrap(), weight.unwrap()), end, weight);
    }

    /** this += value · first · second. */
    public Tensor addcmul_(Tensor first, Tensor second, double value) {
        return inPlace(
                "addcmul_",
                a -> Handles.withScalar(value, scalar -> a.addcmul_(first.unwrap(), second.unwrap(), scalar)),
                first,
                second);
    }

    /**
     * this += left · right, the product of two matrices, without a tensor for the product.
     *
     * @param left of this type, or bfloat16 if this is float32 and on a GPU: the sum is then not rounded to bfloat16
     * @param right of the type of {@code left}
     */
    public Tensor addmm_(Tensor left, Tensor right) {
        return inPlace(
                "addmm_",
                a -> isWiderThan(left)
                        ? torch.addmm_out(a, a, left.unwrap(), right.unwrap(), Handles.scalarType(DType.FLOAT32))
                        : a.addmm_(left.unwrap(), right.unwrap()),
                left,
                right);
    }

    private boolean isWiderThan(Tensor operand) {
        return device().type() == Device.Type.CUDA && dtype() == DType.FLOAT32 && operand.dtype() == DType.BFLOAT16;
    }

    /** this += left · right, products of the matrices of two batches, without a tensor for the products. */
    public Tensor baddbmm_(Tensor left, Tensor right) {
        return inPlace("baddbmm_", a -> a.baddbmm_(left.unwrap(), right.unwrap()), left, right);
    }

    /** this += value · first / second. */
    public Tensor addcdiv_(Tensor first, Tensor second, double value) {
        return inPlace(
                "addcdiv_",
                a -> Handles.withScalar(value, scalar -> a.addcdiv_(first.unwrap(), second.unwrap(), scalar)),
                first,
                second);
    }

    /** this = exp(this). */
    public Tensor exp_() {
        return inPlace("exp_", a -> a.exp_());
    }

    /** this = √this. */
    public Tensor sqrt_() {
        return inPlace("sqrt_", a -> a.sqrt_());
    }
}
