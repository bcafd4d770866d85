package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * One overload of a libtorch operator, reached through the dispatcher ({@code torch_call_dispatcher}).
 *
 * <p>Create it once, best in a static final field; threads may share it. Arguments are checked against the operator's
 * schema, so a wrong one causes a Java exception.
 */
public final class Operator {
    static final int MOST_SLOTS = 64;

    private static final MethodHandle CALL = Libtorch.functions()
            .bind("torch_call_dispatcher", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG));

    private final String text;
    private final MemorySegment name;
    private final MemorySegment overload;
    private final Schema schema;
    private final Slot[] arguments;

    private Operator(String name, String overload, Schema schema) {
        this.text = overload.isEmpty() ? name : name + "." + overload;
        Arena arena = Arena.ofAuto();
        this.name = arena.allocateFrom(name);
        this.overload = arena.allocateFrom(overload);
        this.schema = schema;
        this.arguments = schema.arguments().toArray(new Slot[0]);
    }

    /**
     * Finds an operator.
     *
     * @param name its name with the namespace, such as {@code "aten::sum"}
     * @param overload its overload, such as {@code "dim_IntList"}, or the empty string
     * @param inputs number of arguments of the schema; a call must set all of them, including those with defaults
     * @param outputs number of results of the schema
     * @throws IllegalArgumentException if libtorch has no such operator, the numbers are not those of its schema, or a
     *     type in it, such as Scalar, cannot be passed through the C ABI
     */
    public static Operator of(String name, String overload, int inputs, int outputs) {
        Operator operator = new Operator(name, overload, Schema.of(name, overload));
        operator.requireShape(inputs, outputs);
        return operator;
    }

    /**
     * Begins a call on this thread. No native code runs before an {@code invoke} method, so an unfinished call costs
     * nothing and other calls may compute its arguments.
     */
    public Call call() {
        return Call.begin(this);
    }

    /**
     * Returns the tensors of a list from {@link Call#invokeAll()} ({@code torch_list_get_item}).
     *
     * @param ivalue the slot; it is freed and must not be used again
     * @return the tensors' handles, owned by the caller
     */
    public static long[] takeTensorList(long ivalue) {
        if (ivalue == 0) {
            throw new IllegalArgumentException("The list is null: it was taken already, or the result is not a list");
        }
        return StableValues.take(ivalue);
    }

    @Override
    public String toString() {
        return text;
    }

    int inputs() {
        return arguments.length;
    }

    int outputs() {
        return schema.results().size();
    }

    Slot argument(int index) {
        return arguments[index];
    }

    Slot result(int index) {
        return schema.results().get(index);
    }

    String argumentText(int index) {
        return schema.argumentText(index);
    }

    /** Calls the dispatcher, which consumes the slots' contents even if it fails, and stores the results there. */
    void invoke(MemorySegment stack) {
        int error;
        try {
            error = (int) CALL.invokeExact(name, overload, stack, Libtorch.BUILD_VERSION);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        StableAbi.check(error, text);
    }

    private void requireShape(int inputs, int outputs) {
        if (inputs != inputs() || outputs != outputs()) {
            throw new IllegalArgumentException(text + " takes " + inputs() + " arguments and returns " + outputs()
                    + " results, but was declared with " + inputs + " and " + outputs);
        }
        if (Math.max(inputs, outputs) > MOST_SLOTS) {
            throw new IllegalArgumentException(text + " has more than " + MOST_SLOTS + " arguments or results");
        }
        for (int i = 0; i < inputs; i++) {
            // An optional of a type that cannot be passed can still be none.
            if (arguments[i].kind() == Slot.Kind.OTHER && !arguments[i].optional()) {
                throw new IllegalArgumentException(text + " cannot be called through the C ABI: it cannot pass "
                        + argumentText(i) + "; use another overload, or the JavaCPP method");
            }
        }
        for (Slot result : schema.results()) {
            if (result.kind() == Slot.Kind.OTHER) {
                throw new IllegalArgumentException(text + " cannot be called through the C ABI: it cannot return a "
                        + result.text()
                        + "; use another overload, or the JavaCPP method");
            }
        }
    }
}
