package org.metaflowmaps.bindings;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Argument;
import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.FunctionSchema;
import org.bytedeco.pytorch.OperatorHandle;
import org.jspecify.annotations.Nullable;

/**
 * The argument and result types of an operator, from libtorch's dispatcher. The C function takes untyped 64-bit slots
 * and dereferences some of them, so every slot is checked against the schema first.
 */
record Schema(List<String> names, List<Slot> arguments, List<Slot> results) {
    static Schema of(String name, String overload) {
        Libtorch.load();
        try (OperatorHandle operator = find(name, overload)) {
            FunctionSchema schema = operator.schema();
            List<String> names = new ArrayList<>();
            return new Schema(names, read(schema.arguments(), names), read(schema.returns(), new ArrayList<>()));
        }
    }

    private static OperatorHandle find(String name, String overload) {
        try {
            return Dispatcher.singleton().findSchemaOrThrow(name, overload);
        } catch (RuntimeException e) {
            throw new IllegalArgumentException(
                    "libtorch has no operator " + name + (overload.isEmpty() ? "" : "." + overload)
                            + ": check the name against the operators of libtorch 2.13",
                    e);
        }
    }

    // JavaCPP returns a vector as a pointer to its first element with a length, and an empty vector or string as null.
    private static List<Slot> read(@Nullable Argument vector, List<String> names) {
        List<Slot> slots = new ArrayList<>();
        try (vector) {
            for (long i = 0; vector != null && i < vector.limit(); i++) {
                Argument argument = vector.getPointer(i);
                names.add(text(argument.name()));
                slots.add(Slot.parse(text(argument.real_type().get().str())));
            }
        }
        return slots;
    }

    private static String text(@Nullable BytePointer owned) {
        try (owned) {
            return owned == null ? "" : owned.getString();
        }
    }

    String argumentText(int index) {
        return "argument " + index + " (" + arguments.get(index).text() + " " + names.get(index) + ")";
    }
}
