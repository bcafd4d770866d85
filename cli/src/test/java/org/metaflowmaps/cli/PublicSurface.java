package org.metaflowmaps.cli;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.core.importer.Location;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** The API for other programs: the public types of the modules with their public constructors and methods. */
final class PublicSurface {
    /** Packages that only this library's modules use. */
    private static final Set<String> INTERNAL = Set.of(
            "org.metaflowmaps.runtime.internal",
            "org.metaflowmaps.runtime.kernel",
            "org.metaflowmaps.models.layer");

    private PublicSurface() {}

    /**
     * Public types of runtime, models, training and steering, and those of bindings that take no raw address, by name.
     */
    static List<Class<?>> types() {
        return new ClassFileImporter()
                        .withImportOption(PublicSurface::isMain)
                        .importPackages(
                                "org.metaflowmaps.runtime",
                                "org.metaflowmaps.models",
                                "org.metaflowmaps.training",
                                "org.metaflowmaps.steering",
                                "org.metaflowmaps.bindings")
                        .stream()
                        .filter(type -> !type.getName().contains("package-info"))
                        .map(JavaClass::reflect)
                        .filter(type -> !INTERNAL.contains(type.getPackageName())
                                && isPublic(type)
                                && !type.isAnnotation()
                                && !MisuseRecipes.EXCLUDED.containsKey(type.getSimpleName()))
                        .sorted(Comparator.comparing(Class::getName))
                        .collect(Collectors.toCollection(ArrayList::new));
    }

    /** Returns true for classes outside the tests' folders and jars. */
    static boolean isMain(Location location) {
        return ImportOption.Predefined.DO_NOT_INCLUDE_TESTS.includes(location) && !location.contains("-tests.jar");
    }

    private static boolean isPublic(Class<?> type) {
        for (Class<?> outer = type; outer != null; outer = outer.getDeclaringClass()) {
            if (!Modifier.isPublic(outer.getModifiers())) {
                return false;
            }
        }
        return true;
    }

    /** Returns the public constructors and methods declared by a type, in a fixed order. */
    static List<Executable> calls(Class<?> type) {
        List<Executable> calls = new ArrayList<>();
        if (!Modifier.isAbstract(type.getModifiers())) {
            for (Constructor<?> constructor : type.getConstructors()) {
                calls.add(constructor);
            }
        }
        for (Method method : type.getDeclaredMethods()) {
            if (Modifier.isPublic(method.getModifiers())
                    && !method.isSynthetic()
                    && !method.isBridge()
                    && !isPlain(method)) {
                calls.add(method);
            }
        }
        calls.sort(Comparator.comparing(PublicSurface::name));
        return calls;
    }

    /** Returns true for methods that every object, enum or record has. */
    private static boolean isPlain(Method method) {
        Class<?> type = method.getDeclaringClass();
        boolean accessor = type.isRecord()
                && method.getParameterCount() == 0
                && Arrays.stream(type.getRecordComponents())
                        .anyMatch(component -> component.getAccessor().equals(method));
        boolean ofEnum = type.isEnum()
                && (method.getName().equals("values") || method.getName().equals("valueOf"));
        boolean ofObject = List.of("equals", "hashCode").contains(method.getName());
        return accessor || ofEnum || ofObject;
    }

    /** Returns the name of a call, with the types of its arguments. */
    static String name(Executable call) {
        String type = call.getDeclaringClass().getName().replaceFirst("org\\.metaflowmaps\\.", "");
        String method = call instanceof Constructor<?> ? "new" : call.getName();
        return type + "." + method
                + Arrays.stream(call.getParameters())
                        .map(parameter -> parameter.getType().getSimpleName() + " " + parameter.getName())
                        .collect(Collectors.joining(", ", "(", ")"));
    }
}
